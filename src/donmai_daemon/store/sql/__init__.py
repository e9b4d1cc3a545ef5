"""The journal's SQL, by name.

`schema.sql` holds the schema, one section a version; `queries.sql` holds every statement. A section begins with a
line `-- name: <name>`, and the comment lines under it describe it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from types import MappingProxyType

_MARK = "-- name:"


@cache
def sections(file: str) -> MappingProxyType[str, str]:
    """Name → SQL of one file in this package, in file order."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in files(__name__).joinpath(file).read_text("utf-8").splitlines():
        if line.startswith(_MARK):
            lines = found.setdefault(line.removeprefix(_MARK).strip(), [])
        elif not line.startswith("--"):
            lines.append(line)
    return MappingProxyType({name: "\n".join(body).strip() for name, body in found.items()})


def query(name: str) -> str:
    """The statement called `name`."""
    return sections("queries.sql")[name]
