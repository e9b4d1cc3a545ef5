"""The words of TOML: where a key or a value ends in text that is known to be good TOML.

Nothing here judges. Every function expects bytes that tomllib has accepted (line ends LF or CRLF, no byte order
mark) and offsets that stand on what the function is named after.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

Path: TypeAlias = tuple[str, ...]

# Groups are `(?>(?:…)*)` and not `(?:…)*+`: CPython before 3.11.5 (Debian 12 has 3.11.2) loses its place in the latter,
# and matches wrongly (python/cpython#106052).
BASIC = rb'"(?!"")(?>(?:[^"\\\n]++|\\[^\n])*)"'
LITERAL = rb"'(?!'')[^'\n]*+'"
_LONG_BASIC = rb'"""(?>(?:[^"\\]++|\\.|"{1,2}(?!"))*)"{3,5}'
_LONG_LITERAL = rb"'''(?>(?:[^']++|'{1,2}(?!'))*)'{3,5}"
_STRING = re.compile(b"|".join((_LONG_BASIC, _LONG_LITERAL, BASIC, LITERAL)), re.DOTALL)
_TOKEN = re.compile(b"|".join((_LONG_BASIC, _LONG_LITERAL, BASIC, LITERAL, rb"\#[^\n]*+", rb"[\[\]{}]")), re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\#\n]*+")
_ONE_BARE = re.compile(rb"([A-Za-z0-9_-]++)[ \t]*+=")
_KEY_PART = re.compile(b"[A-Za-z0-9_-]++|" + BASIC + b"|" + LITERAL)
_DOT = re.compile(rb"[ \t]*+\.[ \t]*+")
_EQUALS = re.compile(rb"[ \t]*+=[ \t]*+")
_GAP = re.compile(rb"(?>(?:[ \t\r\n]++|\#[^\n]*+)*)")


class Key(NamedTuple):
    """A key as written: its parts, and where each of them starts and ends."""

    parts: Path
    spans: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[-1][1]


class Pair(NamedTuple):
    """`key = value`, in a table or in an inline table."""

    key: Key
    value_start: int
    value_end: int


def read_key(text: bytes, at: int) -> Key:
    """The (dotted) key at `at`."""
    if (one := _ONE_BARE.match(text, at)) is not None:
        return Key((one[1].decode("ascii"),), (one.span(1),))
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    while (match := _KEY_PART.match(text, at)) is not None:
        parts.append(_decoded(match.group()))
        spans.append(match.span())
        dot = _DOT.match(text, match.end())
        if dot is None:
            break
        at = dot.end()
    return Key(tuple(parts), tuple(spans))


def _decoded(part: bytes) -> str:
    if part[:1] not in (b'"', b"'"):
        return part.decode("ascii")
    if b"\\" in part and part[:1] == b'"':
        value = tomllib.loads(f"k = {part.decode()}")["k"]
        assert isinstance(value, str)
        return value
    return part[1:-1].decode()


def read_pair(text: bytes, at: int) -> Pair:
    """The `key = value` at `at`."""
    key = read_key(text, at)
    equals = _EQUALS.match(text, key.end)
    assert equals is not None, "a key is followed by an equals sign"
    return Pair(key, equals.end(), value_end(text, equals.end()))


def value_end(text: bytes, at: int) -> int:
    """Where the value at `at` ends. Does not recurse: nesting costs no stack."""
    first = text[at : at + 1]
    if first in (b'"', b"'"):
        string = _STRING.match(text, at)
        assert string is not None, "a string has an end"
        return string.end()
    if first in (b"[", b"{"):
        depth = 0
        for token in _TOKEN.finditer(text, at):
            kind = text[token.start()]
            if kind in b"[{":
                depth += 1
            elif kind in b"]}":
                depth -= 1
                if depth == 0:
                    return token.end()
    scalar = _SCALAR.match(text, at)
    assert scalar is not None, "the pattern matches nothing as well"
    return at + len(scalar.group().rstrip(b" \t\r"))


def read_items(text: bytes, at: int) -> Iterator[Pair]:
    """The pairs of the inline table at `at`."""
    at = gap_end(text, at + 1)
    while text[at] != ord("}"):
        pair = read_pair(text, at)
        yield pair
        at = gap_end(text, pair.value_end)
        if text[at] == ord(","):
            at = gap_end(text, at + 1)


def read_elements(text: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Start and end of each element of the array at `at`."""
    at = gap_end(text, at + 1)
    while text[at] != ord("]"):
        end = value_end(text, at)
        yield at, end
        at = gap_end(text, end)
        if text[at] == ord(","):
            at = gap_end(text, at + 1)


def gap_end(text: bytes, at: int) -> int:
    """Behind the blanks, line ends and comments at `at`."""
    gap = _GAP.match(text, at)
    assert gap is not None, "the pattern matches nothing as well"
    return gap.end()
