"""The switch `enabled` of a table: a key that means true where it is left out.

Off and then on gives back the same bytes. Off writes `enabled = false` behind what the table has, or turns the
`true` that is there around; on takes the key out where it stands as off writes it, and turns a `false` around anywhere
else. One case would look alike: a `true` that is there already, just as off would have written it. Off leaves a note
in that case, and on takes the note away.
"""

from __future__ import annotations

from donmai_daemon.ops.keys import remove_key, set_key
from donmai_daemon.ops.lexis import Path
from donmai_daemon.ops.outline import Outline
from donmai_daemon.ops.place import exact, exact_or_none, find
from donmai_daemon.ops.splice import spliced, with_value

KEY = "enabled"
_NOTE = b" # was true"
# An inline table has no room for a comment; there, quotes around the key are the note.
_QUOTED = b'"enabled"'


def off(outline: Outline, path: Path) -> Outline:
    """Make the switch of `path`, which is on, say false."""
    place = exact_or_none(outline, (*path, KEY))
    if place is None:
        return set_key(outline, path, KEY, value=False)
    if not _as_written(outline, path, value=True):
        return with_value(outline, place, "false")
    if place.statement is not None:
        return with_value(outline, place, "false" + _NOTE.decode())
    pair = place.known_pair()
    return spliced(outline, place.block, pair.key.spans[-1][0], pair.value_end, _QUOTED + b" = false")


def on(outline: Outline, path: Path) -> Outline:
    """Make the switch of `path`, which says false, say true, or say nothing."""
    if _as_written(outline, path, value=False):
        return remove_key(outline, path, KEY)
    place = exact(outline, (*path, KEY))
    pair, text = place.known_pair(), place.block.text
    if place.statement is not None:
        noted = text[pair.value_end : place.statement.line_end].rstrip(b"\r\n") == _NOTE
        end = pair.value_end + len(_NOTE) if noted else pair.value_end
        return spliced(outline, place.block, pair.value_start, end, b"true")
    start, end = pair.key.spans[-1]
    key = KEY.encode() if text[start:end] == _QUOTED else text[start:end]
    return spliced(outline, place.block, start, pair.value_end, key + text[end : pair.value_start] + b"true")


def _as_written(outline: Outline, path: Path, *, value: bool) -> bool:
    """Whether the key stands just as `set_key` would write it: taken out and written again, the text is the same."""
    without = remove_key(outline, path, KEY)
    return bool(find(without, path)) and set_key(without, path, KEY, value).text == outline.text
