"""Splices: one stretch of text in one block put in the place of another, and what the ends of lines need then."""

from __future__ import annotations

import re

from donmai_daemon.ops.block import Block
from donmai_daemon.ops.lexis import gap_end, read_items
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.place import Place

_BLANK = re.compile(rb"[ \t]*\r?\Z")
_COMMENT = re.compile(rb"[ \t]*#")
_LAST_NEWLINE = re.compile(rb"\r?\n\Z")


def spliced(outline: Outline, block: Block, start: int, end: int, text: bytes) -> Outline:
    """`text` instead of the bytes from `start` to `end` in `block`."""
    at = outline.blocks.index(block)
    return outline.replaced(at, at + 1, block.text[:start] + text + block.text[end:])


def open_line(text: bytes) -> bytes:
    """`text` with its last line open."""
    return _LAST_NEWLINE.sub(b"", text)


def joined(outline: Outline, first: int, stop: int, head: bytes, rest: bytes) -> Outline:
    """What is left of some blocks. Where the document's last line went, the one before is as open as that was."""
    if not rest and stop == len(outline.blocks) and outline.ends_open:
        head = open_line(head)
    return outline.replaced(first, stop, head + rest)


def with_value(outline: Outline, place: Place, value: str) -> Outline:
    pair = place.known_pair()
    return spliced(outline, place.block, pair.value_start, pair.value_end, value.encode())


def with_line(outline: Outline, block: Block, at: int, line: bytes) -> Outline:
    """`line` as a new line at `at`, which is behind a line."""
    closed = block.text[:at].endswith(b"\n")
    return spliced(outline, block, at, at, line + outline.newline if closed else outline.newline + line)


def with_item(outline: Outline, place: Place, item: bytes) -> Outline:
    """`item` behind the others of the inline table at `place`; in an empty one, between copies of the blanks there."""
    pair, items = place.known_pair(), place.items()
    if items:
        return spliced(outline, place.block, items[-1].value_end, items[-1].value_end, b", " + item)
    end = pair.value_end - 1
    return spliced(outline, place.block, end, end, item + place.block.text[pair.value_start + 1 : end])


def without_line(outline: Outline, place: Place) -> Outline:
    """The statement at `place` taken out with its line, and nothing around it."""
    assert place.statement is not None, "an item has no line"
    at, text = outline.blocks.index(place.block), place.block.text
    return joined(outline, at, at + 1, text[: place.statement.line_start], text[place.statement.line_end :])


def without_item(outline: Outline, place: Place) -> Outline:
    """The item at `place` taken out of its inline table, with one comma."""
    text, pair = place.block.text, place.known_pair()
    items = list(read_items(text, place.table))
    at = next(n for n, item in enumerate(items) if item.key.start == pair.key.start)
    start, end = pair.key.start, gap_end(text, pair.value_end)
    if at:
        start, end = items[at - 1].value_end, pair.value_end
    elif len(items) > 1:
        end = items[1].key.start
    return spliced(outline, place.block, start, end, b"")


def without_block(outline: Outline, at: int) -> Outline:
    """The block number `at` taken out, with what goes with it."""
    block, before = outline.blocks[at], outline.blocks[at - 1]
    return without_piece(outline, at - 1, at + 1, before.text, before.content_end, block.text[block.content_end :])


def without_piece(outline: Outline, first: int, stop: int, above: bytes, floor: int, rest: bytes) -> Outline:
    """A piece of some blocks taken out from between `above` and `rest`.

    The comment lines directly above it go with it, and one blank line above those; nothing below `floor`. The blank
    line stays where somebody else's comment would come to stand directly above what follows, as if it were about that.
    """
    lines = above[floor:].split(b"\n")[:-1]
    kept = len(lines)
    while kept and _COMMENT.match(lines[kept - 1]):
        kept -= 1
    if kept and _BLANK.match(lines[kept - 1]):
        following = rest or b"".join(block.text for block in outline.blocks[stop : stop + 1])
        goes_on = not _BLANK.match(following.partition(b"\n")[0])
        kept -= not (goes_on and kept > 1 and _COMMENT.match(lines[kept - 2]))
    head = above[: floor + sum(len(line) + 1 for line in lines[:kept])]
    return joined(outline, first, stop, head, rest)
