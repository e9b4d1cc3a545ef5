"""Whole entries: put in, taken out, written anew.

Putting in and taking out are exact inverses by these rules. What is put in under a header brings one blank line
before it (none in an empty document) and leaves the document's last line as open or closed as it was. What is taken
out takes one blank line before it, if there is one, and the comment directly above it. A comment below it stays, for
nobody can say whose it is; so does a blank line that keeps somebody else's comment from what follows. In an inline
table an item comes and goes with one comma.
"""

from __future__ import annotations

from donmai_daemon.ops.block import Block
from donmai_daemon.ops.lexis import Path
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.place import Place, enclosing, find, in_order
from donmai_daemon.ops.render import Tables, leaves, nested, render_path, render_value
from donmai_daemon.ops.splice import (
    open_line,
    spliced,
    with_item,
    with_value,
    without_block,
    without_item,
    without_piece,
)
from donmai_daemon.ops.style import Style


def create(outline: Outline, path: Path, tables: Tables) -> Outline:
    """Put in the entry `path`, which is not there: behind its nearest relatives, or at the end."""
    around = enclosing(outline, path)
    if around is not None:
        # A dotted key, so that no table comes with the entry which would stay behind when it goes.
        key = render_path(path[len(around.path) :])
        return with_item(outline, around, f"{key} = {render_value(nested(tables))}".encode())
    sibling = next((b for n in range(len(path), 0, -1) if (b := outline.last_under(path[:n])) is not None), None)
    at = len(outline.blocks) - 1 if sibling is None else outline.blocks.index(sibling)
    last = at == len(outline.blocks) - 1
    text = outline.blocks[at].text
    end = len(text) if sibling is None else sibling.place_after(last=last)
    entry = Style.beside(outline, path, sibling).tables(path, tables)
    head, rest = text[:end], text[end:]
    if last and not rest and outline.ends_open:
        head, entry = head + outline.newline, open_line(entry)
    blank = b"" if outline.empty else outline.newline
    return outline.replaced(at, at + 1, head + blank + entry + rest)


def remove(outline: Outline, path: Path) -> Outline:
    """Take out everything that belongs to `path`."""
    # From the end: no piece may come to stand under a comment that was above the piece before it.
    while places := in_order(outline, find(outline, path)):
        outline = _without(outline, places[-1])
    return outline


def _without(outline: Outline, place: Place) -> Outline:
    if place.pair is None:
        return without_block(outline, outline.blocks.index(place.block))
    if place.statement is None:
        return without_item(outline, place)
    at, text = outline.blocks.index(place.block), place.block.text
    above, rest = text[: place.statement.line_start], text[place.statement.line_end :]
    return without_piece(outline, at, at + 1, above, place.block.body, rest)


def replace(outline: Outline, path: Path, tables: Tables) -> Outline:
    """Write the entry `path`, which is there, anew: where its first piece is, and in the shape that has."""
    places = in_order(outline, find(outline, path))
    if places[0].path == path and places[0].pair is not None:
        return with_value(outline, places[0], render_value(nested(tables)))
    while True:
        kept = next((place for place in places if place.pair is None), places[0])
        if len(places) == 1:
            break
        outline = _without(outline, next(place for place in reversed(places) if place is not kept))
        places = in_order(outline, find(outline, path))
    if kept.pair is None:
        return _with_block(outline, kept.block, path, tables)
    return _with_dotted(outline, kept, path, tables)


def _with_block(outline: Outline, block: Block, path: Path, tables: Tables) -> Outline:
    """In place of one block: blocks. The comment above it stays."""
    at = outline.blocks.index(block)
    last = at == len(outline.blocks) - 1
    rest = block.text[block.content_end :]
    entry = Style.of(block, outline.newline).tables(path, tables)
    if last and not rest and outline.ends_open:
        entry = open_line(entry)
    return outline.replaced(at - 1, at + 1, outline.blocks[at - 1].text + entry + rest)


def _with_dotted(outline: Outline, place: Place, path: Path, tables: Tables) -> Outline:
    """In place of one dotted key: dotted keys with the same beginning."""
    text, pair = place.block.text, place.known_pair()
    begin = text[pair.key.start : place.key_span(len(path) - 1)[1]].decode()
    keys = [
        f"{begin}.{render_path(below)} = {render_value(value)}".encode() if below else f"{begin} = {{}}".encode()
        for below, value in leaves(tables)
    ]
    separator = b", "
    if place.statement is not None:
        separator = outline.newline + text[place.statement.line_start : pair.key.start]
    return spliced(outline, place.block, pair.key.start, pair.value_end, separator.join(keys))
