"""Single keys of a table, and elements of an array: they come and go alone, without a blank line or a comment."""

from __future__ import annotations

from donmai_daemon.ops.entries import create
from donmai_daemon.ops.lexis import Path, gap_end, read_elements
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.place import exact, find, in_order
from donmai_daemon.ops.render import Value, render_key, render_value
from donmai_daemon.ops.splice import (
    spliced,
    with_item,
    with_line,
    with_value,
    without_block,
    without_item,
    without_line,
)
from donmai_daemon.ops.style import Style, body_indent


def set_key(outline: Outline, path: Path, key: str, value: Value) -> Outline:
    """Write `key` in the table `path`, which is there: in place of its value, or behind what the table has.

    Raises `EditRefused` where the key is a table under a header of its own, or made by dotted keys.
    """
    if find(outline, (*path, key)):
        return with_value(outline, exact(outline, (*path, key)), render_value(value))
    text = f"{render_key(key)} = {render_value(value)}".encode()
    for block in outline.headed(path):
        if not block.array:
            return with_line(outline, block, block.content_end, body_indent(block) + text)
    places = [place for place in in_order(outline, find(outline, path)) if place.pair is not None]
    if not places:
        # There are only tables below this one.
        return create(outline, path, [((), {key: value})])
    last = places[-1]
    if last.path == path:
        return with_item(outline, last, text)
    block, pair = last.block, last.known_pair()
    dotted = block.text[pair.key.start : last.key_span(len(path) - 1)[1]] + b"." + text
    if last.statement is None:
        return spliced(outline, block, pair.value_end, pair.value_end, b", " + dotted)
    indent = block.text[last.statement.line_start : pair.key.start]
    return with_line(outline, block, last.statement.line_end, indent + dotted)


def remove_key(outline: Outline, path: Path, key: str) -> Outline:
    """Take out `key`, which is in the table `path`: its line or its item; a header that `set_key` made for it too."""
    place = exact(outline, (*path, key))
    if place.statement is None:
        return without_item(outline, place)
    at = outline.blocks.index(place.block)
    if place.block.path == path and _made_for_one_key(outline, at):
        return without_block(outline, at)
    return without_line(outline, place)


def _made_for_one_key(outline: Outline, at: int) -> bool:
    """Whether the block holds one key and looks as `set_key` leaves it where there were only tables below.

    A header that a person wrote comes before the tables below it.
    """
    block, before = outline.blocks[at], outline.blocks[at - 1]
    header = Style.of(block, outline.newline).tables(block.path, [((), {})])
    first = in_order(outline, find(outline, block.path))[0]
    return (
        len(block.statements) == 1
        and first.block is not block
        and block.text[: block.body] == header
        and before.text.endswith(outline.newline * 2)
    )


def append_element(outline: Outline, path: Path, value: Value) -> Outline:
    """Put `value` behind the last element of the array at `path`, on a line of its own where the last one is."""
    place = exact(outline, path)
    block, start = place.block, place.known_pair().value_start
    text = block.text
    element = render_value(value).encode()
    elements = list(read_elements(text, start))
    if not elements:
        return spliced(outline, block, start + 1, start + 1, element)
    last_start, last_end = elements[-1]
    line_start = text.rfind(b"\n", 0, last_start) + 1
    indent = text[line_start:last_start]
    if line_start <= start or indent.strip():
        return spliced(outline, block, last_end, last_end, b", " + element)
    comma = gap_end(text, last_end)
    trailing = b"," if text[comma] == ord(",") else b""
    behind = comma + 1 if trailing else last_end
    # A comment on the last element's line stays with it.
    tail = text[behind : max(text.find(b"\n", behind), behind)].rstrip(b"\r")
    if tail.strip() and not tail.lstrip().startswith(b"#"):
        tail = b""
    addition = (b"" if trailing else b",") + tail + outline.newline + indent + element + trailing
    return spliced(outline, block, behind, behind + len(tail), addition)
