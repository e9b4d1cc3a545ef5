"""Keep the process small where the libraries it uses would grow by themselves."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from types import ModuleType

OPTIONAL = (
    *("better_exceptions", "h2", "pygments", "rich", "trio"),
    # Ours on other systems only; uvicorn imports it too, to start itself again when its sources change.
    *(("watchfiles",) if sys.platform == "linux" else ()),
)
"""structlog, httpx, httpcore and uvicorn import these where they happen to be installed: 6 to 10 MiB and 80 ms for
nothing that a daemon shows or does."""


def keep_out_optional_modules(modules: MutableMapping[str, ModuleType]) -> None:
    """Make later imports of `OPTIONAL` fail as if they were not installed; what is already imported stays.

    `modules` is `sys.modules`. For the entry point of a long-running process, before it imports anything else.
    """
    for name in OPTIONAL:
        modules.setdefault(name, None)  # type: ignore[arg-type]  # None is how the import system spells "not there"
