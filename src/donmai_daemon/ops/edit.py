"""Edits of the text: one entry put in, taken out or written anew, and not a byte besides.

The rules that make putting in and taking out exact inverses: what is put in under a header brings one blank line
before it (none in an empty document) and leaves the last line as open or closed as it was; what is taken out takes one
blank line before it, if there is one, and the comment directly above it. Inside a table or an inline table a key comes
and goes alone.
"""

from __future__ import annotations

import re

from donmai_daemon.ops.block import Block
from donmai_daemon.ops.lexis import Path, gap_end, read_elements, read_items
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.place import Place, enclosing, exact, exact_or_none, find, in_order
from donmai_daemon.ops.render import (
    Tables,
    Value,
    leaves,
    nested,
    render_key,
    render_path,
    render_tables,
    render_value,
    wrapped,
)

_BLANK = re.compile(rb"[ \t]*\r?\Z")
_COMMENT = re.compile(rb"[ \t]*#")
_LAST_NEWLINE = re.compile(rb"\r?\n\Z")


# --- whole entries ---------------------------------------------------------------------------------------------------


def create(outline: Outline, path: Path, tables: Tables) -> Outline:
    """Put in the entry `path`, which is not there yet."""
    around = enclosing(outline, path)
    if around is not None:
        below = path[len(around.path) :]
        value = wrapped(below[1:], nested(tables))
        return _with_item(outline, around, f"{render_key(below[0])} = {render_value(value)}".encode())
    sibling = next((b for n in range(len(path), 0, -1) if (b := outline.last_under(path[:n]))), None)
    if sibling is None:
        return _insert(outline, len(outline.blocks) - 1, None, path, tables)
    return _insert(outline, outline.blocks.index(sibling), sibling, path, tables)


def _insert(outline: Outline, at: int, sibling: Block | None, path: Path, tables: Tables) -> Outline:
    """Behind what belongs to the block number `at`; at the end of the document where there is no sibling."""
    newline = outline.newline
    before = outline.blocks[at]
    last = at == len(outline.blocks) - 1
    end = len(before.text) if sibling is None else before.own_end(last=last)
    head, rest = before.text[:end], before.text[end:]
    indent = sibling.indent if sibling else b""
    entry = render_tables(path, tables, newline, indent, _body_indent(sibling))
    if last and not rest and outline.ends_open:
        head += newline
        entry = _LAST_NEWLINE.sub(b"", entry)
    blank = b"" if outline.empty else newline
    return outline.replaced(at, at + 1, head + blank + entry + rest)


def remove(outline: Outline, path: Path) -> Outline:
    """Take out everything that belongs to `path`."""
    while places := find(outline, path):
        outline = _without(outline, places[0])
    return outline


def _without(outline: Outline, place: Place) -> Outline:
    if place.pair is None:
        return _without_block(outline, outline.blocks.index(place.block))
    if place.statement is not None:
        at = outline.blocks.index(place.block)
        text = place.block.text
        start = _with_comment(text, place.block.body, place.statement.line_start)
        return _closed(outline, at, at + 1, text[:start], text[place.statement.line_end :])
    return _without_item(outline, place)


def _without_block(outline: Outline, at: int) -> Outline:
    block, before = outline.blocks[at], outline.blocks[at - 1]
    end = block.own_end(last=at == len(outline.blocks) - 1)
    start = _with_comment(before.text, before.content_end, len(before.text))
    return _closed(outline, at - 1, at + 1, before.text[:start], block.text[end:])


def _closed(outline: Outline, first: int, stop: int, head: bytes, rest: bytes) -> Outline:
    """What is left of some blocks; where the last line of the document went, the one before is as open as it was."""
    if not rest and stop == len(outline.blocks) and outline.ends_open:
        head = _LAST_NEWLINE.sub(b"", head)
    return outline.replaced(first, stop, head + rest)


def _with_comment(text: bytes, floor: int, at: int) -> int:
    """The start of the comment lines directly above `at`, and of one blank line above those; not below `floor`."""
    lines = text[floor:at].split(b"\n")[:-1]
    taken = len(lines)
    while taken and _COMMENT.match(lines[taken - 1]):
        taken -= 1
    if taken and _BLANK.match(lines[taken - 1]):
        taken -= 1
    return at - sum(len(line) + 1 for line in lines[taken:])


def replace(outline: Outline, path: Path, tables: Tables) -> Outline:
    """Write the entry `path`, which is there, anew, where it is and in the shape it has."""
    places = in_order(outline, find(outline, path))
    if places[0].path == path and places[0].pair is not None:
        return _with_value(outline, places[0], render_value(nested(tables)))
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
    at = outline.blocks.index(block)
    last = at == len(outline.blocks) - 1
    end = block.own_end(last=last)
    entry = render_tables(path, tables, outline.newline, block.indent, _body_indent(block))
    if last and end == len(block.text) and outline.ends_open:
        entry = _LAST_NEWLINE.sub(b"", entry)
    before = outline.blocks[at - 1]
    return outline.replaced(at - 1, at + 1, before.text + entry + block.text[end:])


def _with_dotted(outline: Outline, place: Place, path: Path, tables: Tables) -> Outline:
    """In place of one dotted key: dotted keys with the same beginning."""
    assert place.pair is not None, "a header has no dotted key"
    text = place.block.text
    begin = text[place.pair.key.start : place.key_span(len(path) - 1)[1]].decode()
    keys = [
        f"{begin}.{render_path(below)} = {render_value(value)}".encode() if below else f"{begin} = {{}}".encode()
        for below, value in leaves(tables)
    ]
    separator = b", "
    if place.statement is not None:
        separator = outline.newline + text[place.statement.line_start : place.pair.key.start]
    return _spliced(outline, place.block, place.pair.key.start, place.pair.value_end, separator.join(keys))


# --- single keys -----------------------------------------------------------------------------------------------------


def set_key(outline: Outline, path: Path, key: str, value: Value) -> Outline:
    """Write `key` in the table `path`, which is there: in place of its value, or behind what the table has."""
    if (there := exact_or_none(outline, (*path, key))) is not None:
        return _with_value(outline, there, render_value(value))
    text = f"{render_key(key)} = {render_value(value)}"
    for block in outline.headed(path):
        if not block.array:
            indent = _body_indent(block)
            return _with_line(outline, block, block.content_end, indent + text.encode())
    places = in_order(outline, find(outline, path))
    pairs = [place for place in places if place.pair is not None]
    if not pairs:
        return create(outline, path, [((), {key: value})])
    last = pairs[-1]
    assert last.pair is not None, "headers were left out"
    if last.path == path:
        return _with_item(outline, last, text.encode())
    block = last.block
    begin = block.text[last.pair.key.start : last.key_span(len(path) - 1)[1]]
    item = begin + b"." + text.encode()
    if last.statement is None:
        return _spliced(outline, block, last.pair.value_end, last.pair.value_end, b", " + item)
    indent = block.text[last.statement.line_start : last.pair.key.start]
    return _with_line(outline, block, last.statement.line_end, indent + item)


def remove_key(outline: Outline, path: Path, key: str) -> Outline:
    """Take out `key`, which is in the table `path`: its line or its item, and nothing around it."""
    place = exact(outline, (*path, key))
    if place.statement is None:
        return _without_item(outline, place)
    at = outline.blocks.index(place.block)
    text = place.block.text
    return _closed(outline, at, at + 1, text[: place.statement.line_start], text[place.statement.line_end :])


def append_element(outline: Outline, path: Path, value: Value) -> Outline:
    """Put `value` behind the last element of the array at `path`, on a line of its own where the last one is."""
    place = exact(outline, path)
    assert place.pair is not None, "an array is a value"
    text = place.block.text
    start = place.pair.value_start
    element = render_value(value).encode()
    elements = list(read_elements(text, start))
    if not elements:
        return _spliced(outline, place.block, start + 1, start + 1, element)
    last_start, last_end = elements[-1]
    line_start = text.rfind(b"\n", 0, last_start) + 1
    indent = text[line_start:last_start]
    if line_start <= start or indent.strip(b" \t"):
        return _spliced(outline, place.block, last_end, last_end, b", " + element)
    comma = gap_end(text, last_end)
    trailing = b"," if text[comma] == ord(",") else b""
    behind = comma + 1 if trailing else last_end
    # A comment on the last element's line stays with it.
    line_end = text.find(b"\n", behind)
    tail = text[behind : max(line_end, behind)].rstrip(b"\r")
    tail = tail if not tail.strip(b" \t") or tail.lstrip(b" \t").startswith(b"#") else b""
    addition = (b"" if trailing else b",") + tail + outline.newline + indent + element + trailing
    return _spliced(outline, place.block, behind, behind + len(tail), addition)


# --- splices ---------------------------------------------------------------------------------------------------------


def _spliced(outline: Outline, block: Block, start: int, end: int, text: bytes) -> Outline:
    at = outline.blocks.index(block)
    return outline.replaced(at, at + 1, block.text[:start] + text + block.text[end:])


def _with_value(outline: Outline, place: Place, value: str) -> Outline:
    assert place.pair is not None, "a header has no value"
    return _spliced(outline, place.block, place.pair.value_start, place.pair.value_end, value.encode())


def _with_line(outline: Outline, block: Block, at: int, line: bytes) -> Outline:
    newline = outline.newline
    if block.text[:at].endswith(b"\n"):
        return _spliced(outline, block, at, at, line + newline)
    return _spliced(outline, block, at, at, newline + line)


def _with_item(outline: Outline, place: Place, item: bytes) -> Outline:
    """A last item for the inline table at `place`. In an empty one it stands between copies of the blanks there."""
    assert place.pair is not None, "an inline table is a value"
    text = place.block.text
    start = place.pair.value_start
    items = list(read_items(text, start))
    if items:
        return _spliced(outline, place.block, items[-1].value_end, items[-1].value_end, b", " + item)
    end = place.pair.value_end - 1
    return _spliced(outline, place.block, end, end, item + text[start + 1 : end])


def _without_item(outline: Outline, place: Place) -> Outline:
    assert place.pair is not None, "an item is a pair"
    text = place.block.text
    items = list(read_items(text, place.table))
    at = next(n for n, item in enumerate(items) if item.key.start == place.pair.key.start)
    if at == len(items) - 1:
        start = items[at - 1].value_end if at else place.pair.key.start
        return _spliced(
            outline, place.block, start, place.pair.value_end if at else gap_end(text, place.pair.value_end), b""
        )
    return _spliced(outline, place.block, place.pair.key.start, items[at + 1].key.start, b"")


def _body_indent(block: Block | None) -> bytes:
    """The blanks before the last key under a header; before the header where there is no key."""
    if block is None:
        return b""
    if not block.statements:
        return block.indent
    last = block.statements[-1]
    return block.text[last.line_start : last.pair.key.start]
