"""Byte-exact edits of a TOML document."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from donmai_daemon.errors import ConfigInvalid, EditRefused
from donmai_daemon.ops import entries, keys, switch
from donmai_daemon.ops.equality import same
from donmai_daemon.ops.lexis import Path
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.place import exact_or_none, find, in_order
from donmai_daemon.ops.render import Tables, Value, nested

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


class Document:
    """A TOML document: its exact bytes, what they mean, and edits of single entries. Immutable.

    Every edit returns a new Document that shares what it did not touch, so a batch of edits costs the edits and
    not the file. The edit is not checked against a parser until `verify()`. An edit raises `EditRefused` where the
    document has something else than tables on the way to the entry.
    """

    def __init__(self, mark: bytes, text: bytes | Outline, values: Mapping[str, object], *, verified: bool) -> None:
        self._mark = mark
        self._text = text
        self._values = values
        self._verified = verified

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """Read `data`. Raises `ConfigInvalid` (line, column) where it is not TOML 1.0 in UTF-8."""
        mark = _BYTE_ORDER_MARK if data.startswith(_BYTE_ORDER_MARK) else b""
        text = data[len(mark) :]
        return cls(mark, text, _parse(text), verified=True)

    @property
    def data(self) -> bytes:
        """The document's bytes."""
        text = self._text if isinstance(self._text, bytes) else self._text.text
        return self._mark + text if self._mark else text

    @property
    def values(self) -> Mapping[str, object]:
        """What the document means (as tomllib reads it), with the edits made so far. Not to be modified."""
        return self._values

    def position(self, *path: str) -> tuple[int, int] | None:
        """Line and column (from 1) where the key at `path` is written, or None where it is not in the text."""
        outline = self._outline()
        places = in_order(outline, find(outline, path)) if path else []
        if not places:
            return None
        place = next((place for place in places if place.path == path), places[0])
        before = [block.text for block in outline.blocks[: outline.blocks.index(place.block)]]
        before.append(place.block.text[: place.key_span(len(path) - 1)[0]])
        text = b"".join(before)
        return _place(text, len(text))

    def verify(self) -> None:
        """Parse the bytes again and compare with `values`. Raises `EditRefused` where they differ."""
        if self._verified:
            return
        try:
            meant = _parse(self._outline().text)
        except ConfigInvalid as error:
            raise EditRefused(f"the edit would not leave good TOML behind: {error.reason}") from error
        if not same(meant, self._values):
            raise EditRefused("the edit would change more than was asked for")
        self._verified = True

    def get(self, path: Path) -> object:
        """The value at `path`, None where there is none. Raises `EditRefused` where something on the way is no table."""
        value: object = self._values
        for depth, part in enumerate(path):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise EditRefused(f"{'.'.join(path[:depth])} is not a table")
            value = value.get(part)
        return value

    def with_entry(self, path: Path, tables: Tables) -> Document:
        """The entry `path` put in, or written anew where it is there already."""
        change = entries.create if self.get(path) is None else entries.replace
        return self._edited(change(self._outline(), path, tables), _with(self._values, path, nested(tables)))

    def without_entry(self, path: Path) -> Document:
        """The entry `path`, which is there, taken out."""
        outline = entries.remove(self._outline(), path)
        values = _without(self._values, path)
        # A table that was only there because something was in it is gone with what was in it.
        while (path := path[:-1]) and not _at(values, path) and not find(outline, path):
            values = _without(values, path)
        return self._edited(outline, values)

    def with_key(self, path: Path, key: str, value: Value) -> Document:
        """`key` set in the table `path`, which is there."""
        outline = keys.set_key(self._outline(), path, key, value)
        return self._edited(outline, _with(self._values, (*path, key), value))

    def switched(self, path: Path, *, on: bool) -> Document:
        """The switch `enabled` of the table `path`, which is there, turned. On is also where it says nothing."""
        key = (*path, switch.KEY)
        if not on:
            return self._edited(switch.off(self._outline(), path), _with(self._values, key, value=False))
        outline = switch.on(self._outline(), path)
        written = exact_or_none(outline, key) is not None
        return self._edited(
            outline, _with(self._values, key, value=True) if written else _without(self._values, key)
        )

    def with_element(self, path: Path, element: str) -> Document:
        """`element` behind the others in the array at `path`, which is there."""
        elements = _at(self._values, path)
        assert isinstance(elements, list), "an element is put into an array"
        outline = keys.append_element(self._outline(), path, element)
        return self._edited(outline, _with(self._values, path, [*elements, element]))

    def _edited(self, outline: Outline, values: Mapping[str, object]) -> Document:
        return Document(self._mark, outline, values, verified=False)

    def _outline(self) -> Outline:
        if isinstance(self._text, bytes):
            self._text = Outline.of(self._text)
        return self._text


def _parse(text: bytes) -> dict[str, object]:
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        line, column = _place(text, error.start)
        raise ConfigInvalid("not UTF-8 text", line=line, column=column) from error
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        where = _POSITION.search(message)
        reason = message[: where.start()] if where else message
        line, column = (int(where[1]), int(where[2])) if where and where[1] else _place(text, len(text))
        raise ConfigInvalid(reason, line=line, column=column) from error
    except ValueError as error:
        raise ConfigInvalid("a number is too long") from error
    except RecursionError as error:
        raise ConfigInvalid("nested too deeply") from error


def _place(text: bytes, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the byte at `offset`."""
    start = text.rfind(b"\n", 0, offset) + 1
    return text.count(b"\n", 0, offset) + 1, len(text[start:offset].decode()) + 1


def _at(values: Mapping[str, object], path: Path) -> object:
    value: object = values
    for part in path:
        assert isinstance(value, Mapping), "the way to an entry leads through tables"
        value = value[part]
    return value


def _with(values: Mapping[str, object], path: Path, value: object) -> dict[str, object]:
    """A copy of `values` with `value` at `path`; shares everything beside the path."""
    inner = value
    if len(path) > 1:
        below = values.get(path[0], {})
        assert isinstance(below, Mapping), "the way to an entry leads through tables"
        inner = _with(below, path[1:], value)
    return {**values, path[0]: inner}


def _without(values: Mapping[str, object], path: Path) -> dict[str, object]:
    """A copy of `values` without `path`, which is there; shares everything beside the path."""
    copy = dict(values)
    if len(path) == 1:
        del copy[path[0]]
    else:
        below = values[path[0]]
        assert isinstance(below, Mapping), "the way to an entry leads through tables"
        copy[path[0]] = _without(below, path[1:])
    return copy
