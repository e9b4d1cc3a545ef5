"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel


class FakeClock:
    """Implements `donmai_daemon.clock.Clock`.

    Nothing passes on its own. `advance` visits every wake-up on the way in order and lets the tasks run at each,
    so a task that sleeps again inside the span is woken again inside the span.
    """

    def __init__(
        self, start: datetime = datetime(2026, 11, 24, 6, 0, tzinfo=UTC), monotonic: float = 1000.0
    ) -> None:
        self._now = start
        self._monotonic = monotonic
        self._sleepers: dict[anyio.Event, float] = {}
        self._changed = anyio.Event()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        self._sleepers[woken] = self._monotonic + seconds
        self._tell()
        try:
            await woken.wait()
        finally:
            self._sleepers.pop(woken, None)
            self._tell()

    @property
    def next_wake(self) -> float | None:
        """Seconds until the earliest sleeper wakes, or None where nobody sleeps."""
        return min(self._sleepers.values()) - self._monotonic if self._sleepers else None

    async def sleepers(self, count: int = 1) -> None:
        """Wait until at least `count` tasks sleep on this clock."""
        while len(self._sleepers) < count:
            changed = self._changed
            await changed.wait()

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass for everyone, wall clock included."""
        end = self._monotonic + seconds
        while self._sleepers and min(self._sleepers.values()) <= end:
            self._move_to(max(self._monotonic, min(self._sleepers.values())))
            await anyio.wait_all_tasks_blocked()
        self._move_to(end)
        await anyio.wait_all_tasks_blocked()

    def step(self, seconds: float) -> None:
        """Let `seconds` pass in one jump, as a suspended machine sees it: sleepers that are due wake once, late."""
        self._move_to(self._monotonic + seconds)

    def set_wall(self, moment: datetime) -> None:
        """Set the wall clock only, as a person or NTP does."""
        self._now = moment

    def _move_to(self, monotonic: float) -> None:
        self._now += timedelta(seconds=monotonic - self._monotonic)
        self._monotonic = monotonic
        for woken in [event for event, due in self._sleepers.items() if due <= monotonic]:
            del self._sleepers[woken]
            woken.set()
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
