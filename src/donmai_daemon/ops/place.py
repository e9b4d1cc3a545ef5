"""Where in the text something is said of a path: headers, statements, and items of inline tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from donmai_daemon.errors import EditRefused
from donmai_daemon.ops.block import Block, Statement
from donmai_daemon.ops.lexis import Pair, Path, read_items
from donmai_daemon.ops.outline import Outline

_OPENING = ord("{")


@dataclass(frozen=True, slots=True)
class Place:
    """One piece of text. `path` is what is written there, which may be deeper than what was looked for.

    A header: `pair` is None. A statement: `statement` is its line. An item of an inline table: `statement` is None
    and `table` is the offset of that table's `{` in the block.
    """

    block: Block
    path: Path
    pair: Pair | None = None
    statement: Statement | None = None
    table: int = -1

    @property
    def inline(self) -> bool:
        """Whether the value is an inline table, which is closed: nothing can be added to it from outside."""
        return self.pair is not None and self.block.text[self.pair.value_start] == _OPENING

    def known_pair(self) -> Pair:
        """The pair, where this is known not to be a header."""
        assert self.pair is not None, "a header is no pair"
        return self.pair

    def items(self) -> list[Pair]:
        """The pairs of the inline table that is the value here."""
        return list(read_items(self.block.text, self.known_pair().value_start))

    def key_span(self, depth: int) -> tuple[int, int]:
        """Where the part of the key is written that is part number `depth` of `path`."""
        key = self.block.header_key() if self.pair is None else self.pair.key
        return key.spans[depth - (len(self.path) - len(key.parts))]


def pairs(outline: Outline, path: Path) -> Iterator[Place]:
    """Every statement or item that is `path`, is below it, or is an inline table around it; in no settled order."""
    for depth in range(len(path)):
        for block in outline.headed(path[:depth]):
            for statement in () if block.array else block.statements:
                if _may_match(statement.pair.key.parts, path, depth):
                    place = Place(block, block.path + statement.pair.key.parts, statement.pair, statement)
                    yield from _with_items(place, path)


def _may_match(parts: Path, path: Path, depth: int) -> bool:
    """Whether a key `parts` in a table of so many parts is on the way to `path`, or on the way on from there."""
    if parts[0] != path[depth]:
        return False
    shared = min(len(parts), len(path) - depth)
    return shared == 1 or parts[:shared] == path[depth : depth + shared]


def _with_items(place: Place, path: Path) -> Iterator[Place]:
    yield place
    depth = len(place.path)
    if depth < len(path) and place.pair is not None and place.inline:
        for item in place.items():
            if _may_match(item.key.parts, path, depth):
                inner = Place(place.block, place.path + item.key.parts, item, None, place.pair.value_start)
                yield from _with_items(inner, path)


def find(outline: Outline, path: Path) -> list[Place]:
    """Every place that belongs to `path`: exactly it, or below it. Statements of its own blocks come with the block.

    In no settled order; `in_order` sorts.
    """
    places = [place for place in pairs(outline, path) if len(place.path) >= len(path)]
    return places + [Place(block, block.path) for block in outline.under(path)]


def in_order(outline: Outline, places: list[Place]) -> list[Place]:
    """`places` in the order of the text."""
    if len(places) < 2:
        return places
    order = {block: number for number, block in enumerate(outline.blocks)}
    return sorted(places, key=lambda place: (order[place.block], place.pair.key.start if place.pair else -1))


def exact_or_none(outline: Outline, path: Path) -> Place | None:
    """The pair that is written as exactly `path`."""
    return next((place for place in pairs(outline, path) if place.path == path), None)


def exact(outline: Outline, path: Path) -> Place:
    """The pair that is written as exactly `path`. Raises `EditRefused` where `path` is spread over several."""
    place = exact_or_none(outline, path)
    if place is None:
        raise EditRefused(f"{path[-1]} in {path[0]} is written in a way that cannot be edited")
    return place


def enclosing(outline: Outline, path: Path) -> Place | None:
    """The innermost inline table around `path`, None where it is in none."""
    around = [place for place in pairs(outline, path) if len(place.path) < len(path) and place.inline]
    return max(around, key=lambda place: len(place.path), default=None)
