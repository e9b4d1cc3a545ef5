"""What processes cost: their own CPU clocks, their memory."""

from __future__ import annotations

from collections.abc import Iterable

import psutil
from bench.footprint import cpu_ns


class Costs:
    """CPU of a set of processes, all threads, from one moment to another."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = [*pids]
        self._before = self._now()

    def micros(self) -> float:
        """CPU microseconds used since this was made."""
        now = self._now()
        return sum(used - self._before.get(pid, 0) for pid, used in now.items()) / 1e3

    def _now(self) -> dict[int, int]:
        family = {child.pid for pid in self._pids for child in psutil.Process(pid).children(recursive=True)}
        used = {}
        for pid in {*self._pids, *family}:
            try:
                used[pid] = cpu_ns(pid)
            except OSError:  # a server's helper that has come and gone
                continue
        return used


def resident_mib(pid: int) -> float:
    """Resident memory of one process, MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def servers() -> tuple[list[int], list[int]]:
    """The processes of PostgreSQL and of Redis that this process has started."""
    children = psutil.Process().children()
    return tuple([child.pid for child in children if name in child.name()] for name in ("postgres", "redis"))  # type: ignore[return-value]  # two names
