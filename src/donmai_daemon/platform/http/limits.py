"""How much a client may send, and how often it may ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from donmai_daemon.platform.conditions import TooManyRequests

BURST_SECONDS = 5.0
"""A bucket holds so many seconds of its rate: 100/s has a burst of 500."""

_MOST_BUCKETS = 100_000


class RateLimiter:
    """One token bucket for each credential, in this process. Full again, a bucket is as good as none and may be forgotten.

    `rate` is in requests a second; `now` is a monotonic clock in seconds.
    """

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = max(rate * BURST_SECONDS, 1.0)
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, credential: str) -> None:
        """Count one request. Raises `TooManyRequests` with the time after which the next one will do."""
        now = self._now()
        tokens, since = self._buckets.pop(credential, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[credential] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests((1.0 - tokens) / self._rate)
