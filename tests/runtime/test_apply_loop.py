"""When the applier runs again, and what its owner is told meanwhile."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support.clock import FakeClock

from donmai_daemon.errors import ConfigInvalid, ConfigUnwritable, JournalUnavailable
from donmai_daemon.model.config import Config
from donmai_daemon.runtime.applier import Applied, Applier
from donmai_daemon.runtime.apply_loop import ApplyLoop
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.settings import Loaded

BROKEN = ConfigInvalid("not good", line=3, column=1)
READ_ONLY = ConfigUnwritable("read-only file system")
FULL = ConfigUnwritable("no space left on device", full=True)


class Scripted(Applier):
    """What each run finds is the test's to say; the applier itself has tests of its own."""

    def __init__(self) -> None:
        self.finds = Applied()
        self.runs = 0
        self.looks = 0
        self.look_fails = False

    def run(self) -> Applied:
        self.runs += 1
        return self.finds

    def look_again(self, only: Container[int] | None = None) -> None:
        assert only is None
        self.looks += 1
        if self.look_fails:
            raise OSError(5, "Input/output error")


class Rig:
    def __init__(self, *, second_look: bool = False) -> None:
        self.clock = FakeClock()
        self.applier = Scripted()
        self.conditions = Conditions(self.clock)
        self.told = 0
        self.loop = ApplyLoop(
            applier=self.applier,
            store=StoreThread(),
            live_config=LiveConfig(Loaded(Config(), (), {}), None, self.conditions),
            conditions=self.conditions,
            clock=self.clock,
            rng=random.Random(1),
            on_settled=self._settled,
            second_look=second_look,
        )

    async def _settled(self) -> None:
        self.told += 1

    @property
    def due(self) -> float:
        """Seconds until the loop does something by itself, to the millisecond."""
        return round(self.clock.next_wake or 0.0, 3)

    def codes(self) -> list[str]:
        return [condition.code for condition in self.conditions.current()]

    async def passes(self, seconds: float) -> None:
        """Let time pass for a loop that sleeps, and wait until it sleeps again."""
        await self.clock.sleepers()
        await self.clock.advance(seconds)
        await self.clock.sleepers()


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    async with anyio.create_task_group() as group:
        group.start_soon(rig.loop.run)
        yield rig
        group.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("problem", "waiting", "codes"),
    [
        (BROKEN, 0, ["config_invalid"]),
        (BROKEN, 2, ["config_invalid", "mutation_parked"]),
        (READ_ONLY, 1, ["config_unwritable", "mutation_parked"]),
        (FULL, 1, ["disk_full", "mutation_parked"]),
        (JournalUnavailable("no"), 0, ["disk_full"]),
    ],
)
async def test_what_stands_in_the_way_is_told_while_it_does(
    problem: ConfigInvalid | ConfigUnwritable | JournalUnavailable, waiting: int, codes: list[str]
) -> None:
    """One condition for the cause, one for what waits; both gone with the first good run."""
    rig = Rig()
    rig.applier.finds = Applied(waiting=waiting, problem=problem)
    await rig.loop.refresh()
    assert rig.codes() == codes
    rig.applier.finds = Applied(settled=1)
    await rig.loop.refresh()
    assert (rig.codes(), rig.told) == ([], 1)


@pytest.mark.anyio
async def test_a_fault_of_this_program_is_told_with_the_mutation() -> None:
    """The id is what leads to the log."""
    rig = Rig()
    rig.applier.finds = Applied(internal_errors=("m1",))
    await rig.loop.refresh()
    assert "m1" in rig.conditions.current()[0].message


@pytest.mark.anyio
async def test_a_file_that_cannot_be_written_is_tried_again_by_itself() -> None:
    """Within half a minute, and no longer once it works."""
    rig = Rig()
    rig.applier.finds = Applied(waiting=1, problem=READ_ONLY)
    await rig.loop.refresh()
    async with running(rig):
        for _ in range(12):
            await rig.clock.sleepers()
            assert rig.due <= 30
            await rig.passes(rig.clock.next_wake or 0.0)
    assert rig.applier.runs == 13


@pytest.mark.anyio
async def test_a_broken_file_is_waited_for_and_not_tried_again() -> None:
    """The watcher tells when a person has saved it."""
    rig = Rig()
    rig.applier.finds = Applied(waiting=1, problem=BROKEN)
    await rig.loop.refresh()
    async with running(rig):
        await anyio.wait_all_tasks_blocked()
        assert rig.clock.next_wake is None


@pytest.mark.anyio
async def test_the_second_look_comes_after_two_seconds() -> None:
    """After a swap, and after a start that found one; where it fails, again half a minute later."""
    rig = Rig(second_look=True)
    async with running(rig):
        await rig.clock.sleepers()
        assert (rig.applier.looks, rig.due) == (0, 2.0)
        rig.applier.finds, rig.applier.look_fails = Applied(kept=True), True
        await rig.passes(2.0)
        assert (rig.applier.looks, rig.due) == (1, 2.0)
        rig.applier.finds = Applied()
        await rig.passes(2.0)
        assert (rig.applier.looks, rig.due) == (2, 30.0)
        rig.loop.wake()
        await anyio.wait_all_tasks_blocked()
        await rig.clock.sleepers()
        assert rig.applier.looks == 2, "being woken is no reason to look early"
        rig.applier.look_fails = False
        await rig.clock.advance(30.0)
    assert rig.applier.looks == 3
