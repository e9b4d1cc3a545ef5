"""Numbers for Prometheus, counted in this process."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


@dataclass(slots=True)
class Timing:
    """The request under way. `status` is set once it is known; it stays 499 where the client left before."""

    status: int = 499


class Metrics:
    """Requests by operation and status, their durations, and whatever gauges are added. `now` is monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._requests: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, tuple[list[int], float]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show `read()` under `name`."""
        self._gauges[name] = (meaning, read)

    @contextmanager
    def timed(self, operation: str) -> Iterator[Timing]:
        """Count one request of `operation`, and how long it took."""
        timing = Timing()
        begun = self._now()
        try:
            yield timing
        finally:
            seconds = self._now() - begun
            key = (operation, timing.status)
            self._requests[key] = self._requests.get(key, 0) + 1
            counts, total = self._seconds.get(operation) or ([0] * (len(_BUCKETS) + 1), 0.0)
            counts[bisect_left(_BUCKETS, seconds)] += 1
            self._seconds[operation] = (counts, total + seconds)

    def text(self) -> str:
        """Everything in Prometheus' text format, version 0.0.4."""
        lines = [
            "# HELP donmai_platform_requests_total Requests answered.",
            "# TYPE donmai_platform_requests_total counter",
        ]
        for (operation, status), count in sorted(self._requests.items()):
            lines.append(f'donmai_platform_requests_total{{operation="{operation}",status="{status}"}} {count}')
        name = "donmai_platform_request_seconds"
        lines += [f"# HELP {name} Time to answer a request.", f"# TYPE {name} histogram"]
        for operation, (counts, total) in sorted(self._seconds.items()):
            running = 0
            for bound, count in zip((*_BUCKETS, "+Inf"), counts, strict=True):
                running += count
                lines.append(f'{name}_bucket{{operation="{operation}",le="{bound}"}} {running}')
            lines.append(f'{name}_sum{{operation="{operation}"}} {total:.6f}')
            lines.append(f'{name}_count{{operation="{operation}"}} {running}')
        for gauge, (meaning, read) in sorted(self._gauges.items()):
            lines += [f"# HELP {gauge} {meaning}", f"# TYPE {gauge} gauge", f"{gauge} {read():g}"]
        return "\n".join(lines) + "\n"
