"""A unified diff of two versions of the configuration, for people and for the history."""

from __future__ import annotations

import difflib

MAX_DIFF_CHARS = 16 * 1024
_CONTEXT = 3
_MAX_COMPARED = 1000
"""More lines than this between the first and the last difference are not compared one by one: that costs their product."""


def unified(before: bytes, after: bytes) -> str:
    """The diff as `diff -u` writes it, `""` where nothing differs; cut at `MAX_DIFF_CHARS`.

    The lines that both have at their two ends are never looked at one by one, so a small edit of a large file is cheap.
    """
    if before == after:
        return ""
    head = _common_head(before, after)
    tail = _common_tail(before, after, head)
    start = _lines_back(before, head)
    stop = _lines_on(before, len(before) - tail)
    old = _lines(before[start:stop])
    new = _lines(after[start : stop + len(after) - len(before)])
    first = before.count(b"\n", 0, start)
    parts = ["--- before\n", "+++ after\n"]
    for group in _groups(old, new):
        old_range = _range(first + group[0][1], first + group[-1][2])
        new_range = _range(first + group[0][3], first + group[-1][4])
        parts.append(f"@@ -{old_range} +{new_range} @@\n")
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                parts += [" " + line for line in old[old_from:old_to]]
            else:
                parts += ["-" + line for line in old[old_from:old_to]]
                parts += ["+" + line for line in new[new_from:new_to]]
    text = "".join(parts)
    return text if len(text) <= MAX_DIFF_CHARS else text[: MAX_DIFF_CHARS - 2] + "…\n"


def _groups(old: list[str], new: list[str]) -> list[list[tuple[str, int, int, int, int]]]:
    if max(len(old), len(new)) > _MAX_COMPARED:
        return [[("replace", 0, len(old), 0, len(new))]]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [[(*code,) for code in group] for group in matcher.get_grouped_opcodes(_CONTEXT)]


def _range(start: int, stop: int) -> str:
    """Lines `start` to `stop`, counted from 0, as `diff -u` names them: an empty range by the line before it."""
    length = stop - start
    return str(stop) if length == 1 else f"{start + 1 if length else start},{length}"


def _lines(text: bytes) -> list[str]:
    lines = [line + "\n" for line in text.decode("utf-8", "backslashreplace").split("\n")]
    if lines[-1] == "\n":
        del lines[-1]
    else:
        lines[-1] += "\\ No newline at end of file\n"
    return lines


def _common_head(before: bytes, after: bytes) -> int:
    """How many bytes of whole lines both begin with."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        if before[low:middle] == after[low:middle]:
            low = middle
        else:
            high = middle - 1
    return before.rfind(b"\n", 0, low) + 1


def _common_tail(before: bytes, after: bytes, head: int) -> int:
    """How many bytes of whole lines both end with, behind their common head."""
    low, high = 0, min(len(before), len(after)) - head
    while low < high:
        middle = (low + high + 1) // 2
        if before[len(before) - middle : len(before) - low] == after[len(after) - middle : len(after) - low]:
            low = middle
        else:
            high = middle - 1
    newline = before.find(b"\n", len(before) - low)
    return len(before) - newline - 1 if newline >= 0 else 0


def _lines_back(text: bytes, at: int) -> int:
    """The start of the line that is `_CONTEXT` lines before the one that starts at `at`."""
    for _ in range(_CONTEXT):
        at = text.rfind(b"\n", 0, max(at - 1, 0)) + 1
    return at


def _lines_on(text: bytes, at: int) -> int:
    """The start of the line that is `_CONTEXT` lines after the one that starts at `at`."""
    for _ in range(_CONTEXT):
        newline = text.find(b"\n", at)
        at = newline + 1 if newline >= 0 else len(text)
    return at
