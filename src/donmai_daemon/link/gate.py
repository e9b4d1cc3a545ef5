"""What the platform refused, and when it may be asked again."""

from __future__ import annotations

import random

from donmai_daemon.clock import Clock
from donmai_daemon.errors import PlatformRefused
from donmai_daemon.link.retry import Backoff

_MAY_PASS = {408, 429}


class Gate:
    """Closed after a refusal that asking again would not change, open otherwise."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._backoff = Backoff(rng)
        self._refusal: PlatformRefused | None = None
        self._until = 0.0

    def check(self) -> None:
        """Raises the refusal again while closed, with the seconds that remain as `retry_after`."""
        remaining = self._until - self._clock.monotonic()
        if self._refusal is not None and remaining > 0:
            raise PlatformRefused(self._refusal.status, self._refusal.detail, remaining)

    def refused(self, error: PlatformRefused, cap: float) -> PlatformRefused:
        """What to raise for `error`. 5xx, 408 and 429 close only for a `Retry-After`: whoever asks has a backoff."""
        if error.status < 500 and error.status not in _MAY_PASS:
            return self.close(error, self._backoff.next(cap=cap, retry_after=error.retry_after))
        return self.close(error, error.retry_after or 0.0)

    def close(self, error: PlatformRefused, seconds: float) -> PlatformRefused:
        """Close for `seconds`; returns what to raise, with `seconds` as its `retry_after`."""
        self._refusal = PlatformRefused(error.status, error.detail, seconds)
        self._until = self._clock.monotonic() + seconds
        return PlatformRefused(error.status, error.detail, seconds or None)

    def open(self) -> None:
        """The last word of the platform was a good one, or everything may be different now."""
        self._refusal = None
        self._backoff.reset()
