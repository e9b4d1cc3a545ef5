"""Rates over time."""

from __future__ import annotations

import math
from collections.abc import Mapping

from donmai_daemon.simulate.tally import BINS_PER_SECOND

_STEADY_REQUESTS = 100


class Timeline:
    """Events by tenths of a second, as `tally` counts them. Moments are of the same clock, ends are excluded."""

    def __init__(self, bins: Mapping[int, int]) -> None:
        self._bins = bins

    def count(self, start: float, end: float) -> int:
        """Events from `start` to `end`."""
        slots = range(int(start * BINS_PER_SECOND), int(end * BINS_PER_SECOND))
        return sum(self._bins.get(slot, 0) for slot in slots)

    def rate(self, start: float, end: float) -> float:
        """Events a second, on average."""
        return self.count(start, end) / max(end - start, 1 / BINS_PER_SECOND)

    def peak(self, start: float, end: float, window: int) -> float:
        """Events a second in the fullest `window` seconds that begin in the stretch, at whatever tenth."""
        width = window * BINS_PER_SECOND
        first, last = int(start * BINS_PER_SECOND), int(end * BINS_PER_SECOND)
        within = sum(self._bins.get(slot, 0) for slot in range(first, first + width))
        most = within
        for slot in range(first, last):
            within += self._bins.get(slot + width, 0) - self._bins.get(slot, 0)
            most = max(most, within)
        return most / window

    def by_second(self, start: float, end: float) -> list[int]:
        """Events of each whole second."""
        seconds = int(end - start)
        return [self.count(start + second, start + second + 1) for second in range(seconds)]


def window_for(rate: float) -> int:
    """Seconds to look at for a peak: the fewest in which `rate` makes a hundred events.

    Machines that know nothing of one another bunch up by chance. Of 33 expected in a second there are 50 in one second or
    other of five minutes; of 100 expected there are hardly ever 130.
    """
    return max(1, math.ceil(_STEADY_REQUESTS / rate)) if rate > 0 else 1
