"""A block of a document: one `[header]` and everything up to the next, or what comes before the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from donmai_daemon.ops.lexis import BASIC, LITERAL, Key, Pair, Path, gap_end, read_key, read_pair

_FLAT = rb"""[^\n"'\#\[\]{}]++|""" + BASIC + b"|" + LITERAL
_ARRAY = rb"\[(?>(?:" + _FLAT + rb")*)\]"
_INLINE = rb"\{(?>(?:" + _FLAT + b"|" + _ARRAY + rb")*)\}"
# One line that is a statement, a comment or blank, of the kinds that nearly every line is of.
_LINE = rb"(?![ \t]*+\[)(?>(?:" + b"|".join((_FLAT, _ARRAY, _INLINE)) + rb")*)(?>(?:\#[^\n]*+)?)\n"
_SIMPLE = re.compile(
    rb"[ \t]*+([A-Za-z0-9_-]++)[ \t]*+=[ \t]*+([A-Za-z0-9_.:+-]++|"
    + b"|".join((BASIC, LITERAL, _ARRAY, _INLINE))
    + rb")[ \t]*+(?>(?:\#[^\n]*+)?)\r?(?:\n|\Z)"
)
_LINES = re.compile(rb"(?>(?:" + _LINE + rb")*)")
_QUOTED = rb"""[^\n"'\]]*+(?>(?:(?:""" + BASIC + b"|" + LITERAL + rb""")[^\n"'\]]*+)*)"""
_HEADER = rb"(([ \t]*+)\[(\[?+)(" + _QUOTED + rb")\]\]?+[^\n]*+\n)"
_TABLE = re.compile(_HEADER + rb"(?>(?:" + _LINE + rb")*)")
_AT_HEADER = re.compile(rb"[ \t]*+\[")
_BARE_PATH = re.compile(rb"[A-Za-z0-9_.-]++")
_REST = re.compile(rb"[^\n]*+\n?")
_COMMENTS = re.compile(rb"(?>(?:[ \t]*+\#[^\n]*+(?:\n|\Z))*)")
_BRACKET = ord("[")


class Statement(NamedTuple):
    """`key = value` on a line of its own: from the line's first byte to behind its newline."""

    pair: Pair
    line_start: int
    line_end: int


class Block:
    """Immutable. `path` is the header's, `()` for what comes before the first; `array`: the header is `[[…]]`.

    `body` is where the line after the header starts. Compared by identity: a block is a place, not a text.
    """

    __slots__ = ("_statements", "array", "body", "indent", "path", "text")

    def __init__(self, text: bytes, path: Path, *, array: bool, body: int, indent: bytes) -> None:
        self.text = text
        self.path = path
        self.array = array
        self.body = body
        self.indent = indent
        self._statements: tuple[Statement, ...] | None = None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Read on first use: most blocks of a large document are never looked into."""
        if self._statements is None:
            self._statements = tuple(self._read())
        return self._statements

    def _read(self) -> Iterator[Statement]:
        text, at = self.text, self.body
        while True:
            simple = _SIMPLE.match(text, at)
            if simple is not None:
                key = Key((simple[1].decode("ascii"),), (simple.span(1),))
                yield Statement(Pair(key, *simple.span(2)), at, simple.end())
                at = simple.end()
                continue
            start = gap_end(text, at)
            line_start = text.rfind(b"\n", 0, start) + 1
            if start >= len(text):
                return
            if line_start > at:
                at = line_start
                continue
            pair = read_pair(text, start)
            at = _end(_REST, text, pair.value_end)
            yield Statement(pair, line_start, at)

    def header_key(self) -> Key:
        """The header's key; this block has a header."""
        return read_key(self.text, gap_end(self.text, self.text.index(b"[") + 1 + self.array))

    @property
    def content_end(self) -> int:
        """Behind the last statement's line; behind the header's where there is none."""
        return self.statements[-1].line_end if self.statements else self.body

    def place_after(self, *, last: bool) -> int:
        """Where another entry may follow: behind the statements, and comments below them without a blank line.

        A comment that stands directly above the next header belongs to that; `last`: there is no next.
        """
        end = self.content_end
        commented = _end(_COMMENTS, self.text, end)
        return end if commented == len(self.text) and not last else commented


def scan(text: bytes, *, root: bool) -> list[Block]:
    """Split good TOML into its blocks. `root`: the text is from the document's start, not from a header on."""
    # The patterns want every line to end; a newline that is not there is added for them, and never sliced out.
    whole = text if text.endswith(b"\n") else text + b"\n"
    end = len(text)
    blocks: list[Block] = []
    at = 0
    if root:
        at = _lines_end(whole, 0)
        blocks.append(Block(text[:at], (), array=False, body=0, indent=b""))
    while at < end:
        table = _TABLE.match(whole, at)
        assert table is not None, "what is no statement is a header"
        stop = table.end()
        if stop < end and whole[stop] != _BRACKET:
            stop = _lines_end(whole, stop)
        path = _header_path(whole, *table.span(4))
        body = min(table.end(1), end) - at
        blocks.append(Block(text[at:stop], path, array=bool(table[3]), body=body, indent=table[2]))
        at = stop
    return blocks


def _header_path(whole: bytes, start: int, end: int) -> Path:
    if _BARE_PATH.fullmatch(whole, start, end):
        return tuple(whole[start:end].decode("ascii").split("."))
    return read_key(whole, gap_end(whole, start)).parts


def _lines_end(whole: bytes, at: int) -> int:
    """Behind the statements, comments and blank lines at `at`: the next header, or the end."""
    while True:
        at = _end(_LINES, whole, at)
        if at >= len(whole) or _AT_HEADER.match(whole, at):
            return at
        # A statement over several lines, or nested deeper than the pattern for common lines looks.
        pair = read_pair(whole, gap_end(whole, at))
        at = _end(_REST, whole, pair.value_end)


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "the pattern matches nothing as well"
    return match.end()
