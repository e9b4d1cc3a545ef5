"""Time as a collaborator, so that nothing below reads a clock it was not given."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from datetime import UTC, datetime
from typing import Protocol

import anyio

_CLOCK_BOOTTIME = 7  # linux/time.h
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
        if seconds <= 0 or sys.platform != "linux":
            await anyio.sleep(max(seconds, 0))
            return
        # The event loop's own timers stand still while a laptop sleeps: a beat due during the night would be sent
        # up to an interval after the lid opens. This one has run out by then, and the kernel says so at once.
        descriptor = _boot_timer(seconds)
        try:
            await anyio.wait_readable(descriptor)
        finally:
            anyio.notify_closing(descriptor)
            os.close(descriptor)


def _boot_timer(seconds: float) -> int:
    """A descriptor that becomes readable after `seconds` of CLOCK_BOOTTIME: timerfd_create(2), Linux 3.15 and later."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = int(library.timerfd_create(_CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC))
    whole = int(seconds)
    setting = _TimerSetting(0, 0, whole, max(int((seconds - whole) * 1e9), 1))
    if descriptor < 0 or library.timerfd_settime(descriptor, 0, ctypes.byref(setting), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


class _TimerSetting(ctypes.Structure):
    """struct itimerspec of 64-bit Linux: interval (none), then the time to the one expiry."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


async def wait_until(clock: Clock, deadline: float | None, event: anyio.Event) -> bool:
    """Wait until `clock.monotonic()` reaches `deadline` (None: never) or `event` is set; True where it was the event."""
    if deadline is None:
        await event.wait()
        return True
    if event.is_set() or deadline <= clock.monotonic():
        return event.is_set()
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await event.wait()
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await clock.sleep(deadline - clock.monotonic())
        group.cancel_scope.cancel()
    return event.is_set()


def rfc3339(moment: datetime) -> str:
    """`2026-11-24T06:01:27.123Z`: UTC with milliseconds, the form of every time on the wire."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime | None:
    """The moment that `text` names, aware and in UTC, or None where it is not an RFC 3339 time with an offset."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):  # overflow: year 1 or 9999, and an offset that leads out of the calendar
        return None
