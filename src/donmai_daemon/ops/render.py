"""Writing keys, values and tables as TOML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from donmai_daemon.ops.lexis import Path

Value: TypeAlias = "bool | int | str | list[Value] | dict[str, Value]"
"""What the operations write: no floats and no times."""

Table: TypeAlias = dict[str, Value]
Tables: TypeAlias = Sequence[tuple[Path, Table]]
"""One entry as the tables it is written in: the path below the entry, and the keys that stand under that header."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def render_key(part: str) -> str:
    """One part of a key, quoted where it has to be."""
    return part if _BARE.fullmatch(part) else render_text(part)


def render_path(path: Path) -> str:
    return ".".join(render_key(part) for part in path)


def render_text(text: str) -> str:
    return '"' + _SPECIAL.sub(lambda m: _ESCAPES.get(m.group()) or f"\\u{ord(m.group()):04x}", text) + '"'


def render_value(value: Value) -> str:
    """On one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return render_text(value)
    if isinstance(value, list):
        return "[" + ", ".join(render_value(element) for element in value) + "]"
    items = ", ".join(f"{render_key(key)} = {render_value(inner)}" for key, inner in value.items())
    return f"{{ {items} }}" if items else "{}"


def nested(tables: Tables) -> Table:
    """The value that `tables` mean."""
    root: Table = {}
    for below, table in tables:
        target = root
        for part in below:
            inner = target.setdefault(part, {})
            assert isinstance(inner, dict), "a path below an entry leads through tables"
            target = inner
        target.update(table)
    return root


def leaves(tables: Tables) -> Iterator[tuple[Path, Value]]:
    """Each key of `tables` by its path below the entry; a table without keys is a key itself."""
    for below, table in tables:
        if not table:
            yield below, {}
        for key, value in table.items():
            yield (*below, key), value
