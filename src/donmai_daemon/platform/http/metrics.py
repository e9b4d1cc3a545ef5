"""Numbers for Prometheus about this process, counted in it."""

from __future__ import annotations

import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from donmai_daemon.model.exposition import Sample, family

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_HELD_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
_NO_ROUTE = "none"
"""The operation of a request that no endpoint has: a path or a method of which there is none."""


@dataclass(slots=True)
class Timing:
    """The request under way. `status` is set once it is known; it stays 499 where the client left before.

    `held`: it is a beat that asked to be held, and was.
    """

    status: int = 499
    held: bool = False


class Counter:
    """Goes up only. Each combination of label values is a series of its own, there from its first `add`."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._values: dict[tuple[str, ...], int] = {} if labels else {(): 0}

    def add(self, *values: str) -> None:
        """One more of the series with these values of the labels."""
        self._values[values] = self._values.get(values, 0) + 1

    def text(self) -> str:
        """The family."""
        samples = [
            Sample(count, dict(zip(self._labels, values, strict=True)))
            for values, count in sorted(self._values.items())
        ]
        return family(self._name, "counter", self._meaning, samples)


class Histogram:
    """Durations in seconds, one series an operation."""

    def __init__(self, name: str, meaning: str, bounds: tuple[float, ...]) -> None:
        self._name, self._meaning, self._bounds = name, meaning, bounds
        self._series: dict[str, tuple[list[int], float]] = {}

    def observe(self, operation: str, seconds: float) -> None:
        """Count one duration."""
        counts, total = self._series.get(operation) or ([0] * (len(self._bounds) + 1), 0.0)
        counts[bisect_left(self._bounds, seconds)] += 1
        self._series[operation] = (counts, total + seconds)

    def text(self) -> str:
        """The family."""
        return family(self._name, "histogram", self._meaning, self._samples())

    def _samples(self) -> Iterator[Sample]:
        for operation, (counts, total) in sorted(self._series.items()):
            running = 0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                running += count
                yield Sample(running, {"operation": operation, "le": bound}, "_bucket")
            yield Sample(total, {"operation": operation}, "_sum")
            yield Sample(running, {"operation": operation}, "_count")


class Metrics:
    """What requests came and how long they took, and whatever is added. `now` is monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._process = psutil.Process()
        self._requests = Counter(
            "donmai_platform_http_requests_total",
            "Requests by operation (operationId of /openapi.json; none: no such route) and status (499: the client left).",
            "operation",
            "status",
        )
        self._seconds = Histogram(
            "donmai_platform_http_request_duration_seconds",
            "Time to answer a request, beats that were held left out.",
            _SECONDS,
        )
        self._held_seconds = Histogram(
            "donmai_platform_held_beat_duration_seconds",
            "Time to answer a beat that asked to be held.",
            _HELD_SECONDS,
        )
        self.store_errors = Counter(
            "donmai_platform_store_errors_total",
            "Requests refused because the store did not answer; the log says why.",
        )
        self._counters = [self._requests, self.store_errors]
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A new counter under `name`, which ends in `_total`."""
        added = Counter(name, meaning, *labels)
        self._counters.append(added)
        return added

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
            self._requests.add(operation, str(timing.status))
            (self._held_seconds if timing.held else self._seconds).observe(operation, self._now() - begun)

    def unrouted(self, status: int) -> None:
        """Count a request that no endpoint has."""
        self._requests.add(_NO_ROUTE, str(status))

    def text(self) -> str:
        """Everything, in Prometheus' text format."""
        parts = [one.text() for one in self._counters]
        parts += [self._seconds.text(), self._held_seconds.text()]
        parts += [
            family(name, "gauge", meaning, [Sample(read())])
            for name, (meaning, read) in sorted(self._gauges.items())
        ]
        return "".join([*parts, *self._process_families()])

    def _process_families(self) -> Iterator[str]:
        """What every Prometheus client says of its process, under the names that all of them use."""
        with self._process.oneshot():
            times, memory = self._process.cpu_times(), self._process.memory_info()
            started, descriptors = self._process.create_time(), self._process.num_fds()
        seconds = [Sample(times.user + times.system)]
        yield family("process_cpu_seconds_total", "counter", "User and system CPU time spent.", seconds)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        for name, meaning, value in (
            ("resident_memory_bytes", "Resident memory.", memory.rss),
            ("start_time_seconds", "Start, since the epoch.", started),
            ("open_fds", "Open file descriptors.", descriptors),
            ("max_fds", "Most file descriptors it may open; each held beat is one.", most),
        ):
            yield family(f"process_{name}", "gauge", meaning, [Sample(value)])
