"""The scaled store's SQL, by name; written as the embedded store's is.

`schema.sql` holds the schema, one section a version; the other files hold every statement. A section begins with a
line `-- name: <name>`, and the comment lines under it describe it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from types import MappingProxyType

_MARK = "-- name:"
_STATEMENTS = ("keys.sql", "hosts.sql", "mutations.sql")


@cache
def sections(file: str) -> MappingProxyType[str, bytes]:
    """Name → SQL of one file in this package, in file order; as bytes, which psycopg takes as they are."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in files(__name__).joinpath(file).read_text("utf-8").splitlines():
        if line.startswith(_MARK):
            lines = found.setdefault(line.removeprefix(_MARK).strip(), [])
        elif not line.startswith("--"):
            lines.append(line)
    return MappingProxyType({name: "\n".join(body).strip().encode() for name, body in found.items()})


@cache
def query(name: str) -> bytes:
    """The statement called `name`."""
    for file in _STATEMENTS:
        if name in sections(file):
            return sections(file)[name]
    raise KeyError(name)
