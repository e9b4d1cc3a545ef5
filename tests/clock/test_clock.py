"""Time: the form it has on the wire, waiting, and the clock that tests move by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import anyio
import pytest
from tests.support.clock import FakeClock

from donmai_daemon.clock import SystemClock, parse_rfc3339, rfc3339, wait_until

pytestmark = pytest.mark.anyio


def test_times_are_utc_with_milliseconds() -> None:
    """Whatever the zone, the wire has UTC, milliseconds and a Z."""
    moment = datetime(2026, 11, 24, 7, 1, 27, 123999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-11-24T06:01:27.123Z"
    assert parse_rfc3339(rfc3339(moment)) == datetime(2026, 11, 24, 6, 1, 27, 123000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-11-24", "2026-11-24T06:00:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"],
)
def test_what_is_no_time_is_none(text: str) -> None:
    """Text without an offset, or that leads out of the calendar, names no moment, and never raises."""
    assert parse_rfc3339(text) is None


async def test_waiting_ends_with_the_deadline() -> None:
    """Where the event does not come, the wait ends at the deadline and says so."""
    clock = FakeClock()
    found: list[bool] = []

    async def wait() -> None:
        found.append(await wait_until(clock, clock.monotonic() + 10, anyio.Event()))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await clock.sleepers()
        await clock.advance(9.9)
        assert found == []
        await clock.advance(0.1)
        assert found == [False]


@pytest.mark.parametrize("deadline", [None, 5.0])
async def test_waiting_ends_with_the_event(deadline: float | None) -> None:
    """The event ends the wait at once, with a deadline or without."""
    clock = FakeClock(monotonic=0.0)
    event = anyio.Event()
    found: list[bool] = []

    async def wait() -> None:
        found.append(await wait_until(clock, deadline, event))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        event.set()
    assert found == [True]
    assert clock.next_wake is None


async def test_what_is_over_is_not_waited_for() -> None:
    """A deadline in the past, or an event that is set, ends the wait before it begins."""
    clock = FakeClock()
    event = anyio.Event()
    assert not await wait_until(clock, clock.monotonic(), event)
    event.set()
    assert await wait_until(clock, clock.monotonic() - 1, event)
    assert await wait_until(clock, clock.monotonic() + 99, event)


async def test_the_systems_clock_runs() -> None:
    """The machine's own clock tells UTC, goes forward, and sleeps."""
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > before
    assert clock.now().utcoffset() == timedelta(0)


async def test_the_fake_clock_visits_every_wake_up_on_the_way() -> None:
    """A task that sleeps again and again is woken each time within one advance, at its own moments."""
    clock = FakeClock()
    start = clock.monotonic()
    seen: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(3)
            seen.append(clock.monotonic() - start)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await clock.sleepers()
        await clock.advance(10)
        group.cancel_scope.cancel()
    assert seen == [3, 6, 9]
    assert clock.now() == datetime(2026, 11, 24, 6, 0, 10, tzinfo=UTC)


async def test_a_step_of_the_fake_clock_wakes_late_and_once() -> None:
    """After a suspended machine resumes, a sleeper wakes once, however much it missed; and the wall clock can be set alone."""
    clock = FakeClock()
    seen = 0

    async def tick() -> None:
        nonlocal seen
        while True:
            await clock.sleep(3)
            seen += 1

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await clock.sleepers()
        clock.step(3600)
        await anyio.wait_all_tasks_blocked()
        assert seen == 1
        clock.set_wall(datetime(2020, 1, 1, tzinfo=UTC))
        await anyio.wait_all_tasks_blocked()
        assert (seen, clock.now().year, clock.monotonic()) == (1, 2020, 4600.0)
        group.cancel_scope.cancel()
