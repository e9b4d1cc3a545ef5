"""How long to wait before the next try."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from donmai_daemon.clock import Clock

MAX_RETRY_AFTER = 3600.0
"""Seconds; a longer `Retry-After` is taken for this much, so that a typing error elsewhere cannot silence a machine."""

_MAX_DOUBLINGS = 32
_ROUNDING = 1e-9  # of a token: having waited `delay()` must be enough


class Backoff:
    """Exponential delays with full jitter, for one thing that is tried again and again."""

    def __init__(self, rng: random.Random, *, base: float = 1.0) -> None:
        """`base` is the longest first delay, in seconds."""
        self._rng = rng
        self._base = base
        self._failures = 0

    def next(self, *, cap: float, retry_after: float | None = None) -> float:
        """Seconds to wait after one more failure: 0 to `cap`, plus `retry_after` where the other side named one.

        The random factor multiplies the capped value. Jitter under the cap would give a whole fleet one identical delay
        once it is reached; for the same reason `retry_after` is added to and not merely waited out.
        """
        capped = min(cap, self._base * 2.0**self._failures)
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        return capped * self._rng.random() + max(retry_after or 0.0, 0.0)

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._failures = 0


class Bucket:
    """Token bucket: `burst` at once, then `per_second`."""

    def __init__(self, clock: Clock, *, burst: int = 5, per_second: float = 1.0) -> None:
        self._clock = clock
        self._burst = float(burst)
        self._rate = per_second
        self._tokens = float(burst)
        self._filled_at = clock.monotonic()

    def delay(self) -> float:
        """Seconds until there is a token; 0.0 where there is one now."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        missing = 1.0 - self._tokens
        return missing / self._rate if missing > _ROUNDING else 0.0

    def take(self) -> bool:
        """Take a token; False where there is none (then nothing is taken)."""
        if self.delay() > 0.0:
            return False
        self._tokens -= 1.0
        return True


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from `now` that a `Retry-After` header asks for, 0 to `MAX_RETRY_AFTER`; None where it says nothing usable.

    RFC 9110: a number of seconds, or an HTTP date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    moment = parse_http_date(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def parse_http_date(value: str | None) -> datetime | None:
    """The moment an HTTP date names, aware and in UTC, or None where it is none."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser lets through for odd input
        return None
