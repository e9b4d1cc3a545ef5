"""Time as a collaborator, so that nothing below reads a clock it was not given."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio

_ELAPSED_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)  # Linux: goes on counting while the machine is suspended


class Clock(Protocol):
    """Wall time for stamps, elapsed time for durations, and waiting."""

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back and go on counting while the machine is suspended; the origin is arbitrary."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; after a suspend that outlasted the wait, return at once."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() if _ELAPSED_CLOCK is None else time.clock_gettime(_ELAPSED_CLOCK)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def rfc3339(moment: datetime) -> str:
    """`2026-11-24T06:01:27.123Z`: UTC with milliseconds, the form of every time on the wire."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime | None:
    """The moment that `text` names, aware and in UTC, or None where it is not an RFC 3339 time with an offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else None
