"""SQL by name, out of the files of a package.

A section begins with a line `-- name: <name>`, and the comment lines under it describe it. What is a list of versions is
named by their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_MARK = "-- name:"


@cache
def sections(package: str, *names: str) -> Mapping[str, str]:
    """Name → SQL of the files called `names` in `package`, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        lines: list[str] = []
        for line in files(package).joinpath(name).read_text("utf-8").splitlines():
            if line.startswith(_MARK):
                lines = found.setdefault(line.removeprefix(_MARK).strip(), [])
            elif not line.startswith("--"):
                lines.append(line)
    return MappingProxyType({name: "\n".join(body).strip() for name, body in found.items()})
