"""What every supported Python can do."""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "donmai_daemon"


def test_no_pattern_repeats_a_group_possessively() -> None:
    """CPython before 3.11.5, which is what Debian 12 has, matches `(...)*+` wrongly; `(?>(...)*)` is right everywhere."""
    found = [
        f"{path.relative_to(SOURCES)}:{number}"
        for path in sorted(SOURCES.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"\)[*+?]\+", line) and not line.lstrip().startswith("#")
    ]
    assert found == []
