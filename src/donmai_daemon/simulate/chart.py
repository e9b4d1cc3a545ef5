"""Numbers as a picture of letters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def bars(values: Sequence[float], *, width: int, height: int) -> list[str]:
    """Bars beside their scale, over `width` columns at most: `breadth` of them for each value, or one for several.

    Then it shows the highest of its own: a peak is what one looks for.
    """
    columns = [value for value in _gather(values, width) for _ in range(breadth(len(values), width))]
    top = max(columns, default=0.0)
    scale = _round_up(top)
    lines = []
    for row in range(height - 1, -1, -1):
        label = f"{scale * (row + 1) / height:,.0f}" if row in (height - 1, (height - 1) // 2) else ""
        cells = (_EIGHTHS[round(min(max(value / scale * height - row, 0.0), 1.0) * 8)] for value in columns)
        lines.append(f"{label:>7} │{''.join(cells)}")
    return lines


def breadth(values: int, width: int) -> int:
    """Columns for each value."""
    return max(1, width // values) if values else 1


def axis(marks: Sequence[tuple[float, str]], *, seconds: float, width: int) -> list[str]:
    """The line below `bars` for a stretch of `seconds`, and below that the `marks`: at so many seconds stands a text."""
    line, names = ["─"] * width, [" "] * width
    free = 0
    for moment, name in sorted(marks):
        at = min(int(moment / max(seconds, 1) * width), width - 1)
        line[at] = "┴"
        if at >= free and at + len(name) <= width:
            names[at : at + len(name)] = name
            free = at + len(name) + 1
    return [f"{0:>7} └{''.join(line)}", f"{'':>9}{''.join(names).rstrip()}"]


def _gather(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    edges = [len(values) * column // width for column in range(width + 1)]
    return [max(values[start:end]) for start, end in pairwise(edges)]


def _round_up(top: float) -> float:
    """The next round number; 1 for nothing at all."""
    unit = 1.0
    while True:
        for step in (1, 2, 3, 4, 5, 6, 8):
            if top <= step * unit:
                return step * unit
        unit *= 10
