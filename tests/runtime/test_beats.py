"""What a beat says, and what its answer leaves behind, with a real journal and no network."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clock import FakeClock

from donmai_daemon.clock import rfc3339
from donmai_daemon.errors import JournalUnavailable
from donmai_daemon.model.config import Capacity, Config
from donmai_daemon.model.status import Occupancy
from donmai_daemon.model.wire import BeatAnswer, HostStatus
from donmai_daemon.runtime.beats import BeatDesk
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.load import LoadSampler
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.settings import Loaded
from donmai_daemon.store.journal import Journal

pytestmark = pytest.mark.anyio

ACCEPTED = BeatAnswer()
DELETED = HostStatus("pool_deleted")


class Rig:
    """One desk; `fails` names the journal's step at which the disk is full."""

    def __init__(self, directory: Path, last_seq: int = 0) -> None:
        self.clock = FakeClock()
        self.fails = ""
        self.journal = Journal.open(directory / "journal.db", self.clock.now(), self._step)
        self.conditions = Conditions(self.clock)
        self.host = HostState(DELETED)
        self.lifecycle = Lifecycle(lambda: None)
        self.active = 0
        self.desk = BeatDesk(
            journal=self.journal,
            store=StoreThread(),
            lifecycle=self.lifecycle,
            live_config=LiveConfig(Loaded(Config(capacity=Capacity(2)), (), {}), "d1", self.conditions),
            host=self.host,
            conditions=self.conditions,
            occupancy=lambda: Occupancy(self.active, 0),
            load=LoadSampler(),
            clock=self.clock,
            last_seq=last_seq,
            accepted=None,
        )

    def _step(self, name: str) -> None:
        if name == self.fails:
            raise sqlite3.OperationalError("database or disk is full")

    async def exchange(self, worker_id: str = "wkr_1", answer: BeatAnswer = ACCEPTED) -> bool:
        """One beat and its answer; whether it carried the full report."""
        beat = await self.desk.compose(worker_id)
        await self.desk.accepted(worker_id, beat, answer)
        return beat.full_report


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.journal.close()


async def test_a_report_counts_as_accepted_once_that_is_on_disk(rig: Rig) -> None:
    """Where the journal cannot record the accepted beat, the next one is a full report again."""
    rig.fails = "journal.accept.commit"
    with pytest.raises(JournalUnavailable):
        await rig.exchange()
    rig.fails = ""
    assert await rig.exchange()
    assert not await rig.exchange()


async def test_a_new_worker_is_told_everything(rig: Rig) -> None:
    """What the platform accepted from the old worker id says nothing about the new one."""
    assert await rig.exchange("wkr_1")
    assert not await rig.exchange("wkr_1")
    assert await rig.exchange("wkr_2")


async def test_an_unknown_host_status_changes_nothing(rig: Rig) -> None:
    """A value of a newer platform neither lifts what stands nor is kept; a known one replaces it, also on disk."""
    await rig.exchange(answer=BeatAnswer(host_status=HostStatus("on_fire")))
    assert (rig.host.status, rig.journal.host_status()) == (DELETED, None)
    await rig.exchange(answer=BeatAnswer(host_status=HostStatus("ok")))
    assert (rig.host.status, rig.journal.host_status()) == (HostStatus("ok"), HostStatus("ok"))


async def test_beats_are_numbered_above_everything_before(rig: Rig, tmp_path: Path) -> None:
    """Above the last accepted one where the clock was set back, above the clock where the journal was lost."""
    now = int(rig.clock.now().timestamp() * 1000)
    assert [(await rig.desk.compose("wkr_1")).seq for _ in range(2)] == [now + 1, now + 2]
    (tmp_path / "later").mkdir()
    later = Rig(tmp_path / "later", last_seq=now + 5_000_000)
    assert (await later.desk.compose("wkr_1")).seq == now + 5_000_001
    later.journal.close()


async def test_the_status_is_what_dispatch_may_do(rig: Rig) -> None:
    """Nothing while it starts; then by what runs; draining once work is not taken."""

    async def status() -> str | None:
        return (await rig.desk.compose("wkr_1")).status

    assert await status() is None
    rig.lifecycle.started()
    assert await status() == "idle"
    rig.active = 1
    assert await status() == "idle"
    rig.active = 2
    assert await status() == "busy"
    rig.lifecycle.stop()
    assert await status() == "draining"


@pytest.mark.parametrize(("ahead", "said"), [(31, "31 s ahead of"), (-31, "31 s behind"), (30, None), (-30, None)])
async def test_a_wrong_clock_is_said_with_its_direction(rig: Rig, ahead: int, said: str | None) -> None:
    """More than 30 s either way is a condition that tells which clock is ahead."""
    theirs = rfc3339(rig.clock.now())
    rig.clock.step(ahead)
    await rig.exchange(answer=BeatAnswer(server_time=theirs))
    messages = [condition.message for condition in rig.conditions.current()]
    assert len(messages) == (0 if said is None else 1)
    assert said is None or said in messages[0]
