"""The lane that needs no file: pools and kills, with a real journal whose disk may be full."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.support.clock import FakeClock

from donmai_daemon.errors import JournalUnavailable
from donmai_daemon.model.config import Config
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.mutation import MutationRequest
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.host_lane import HostLane
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.settings import Loaded
from donmai_daemon.store.journal import Journal

pytestmark = pytest.mark.anyio


class Rig:
    """One lane. `known` are the sessions that can be killed; `full` fills the journal's disk."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.full = False
        self.journal = Journal.open(directory / "journal.db", self.clock.now(), self._step)
        self.conditions = Conditions(self.clock)
        self.host = HostState(None)
        self.known = {"ses_1"}
        self.killed: list[tuple[str, str | None]] = []
        self.told = 0
        self.settled = anyio.Event()
        self.lane = HostLane(
            journal=self.journal,
            store=StoreThread(),
            host=self.host,
            live_config=LiveConfig(Loaded(Config(), (), {}), None, self.conditions),
            conditions=self.conditions,
            clock=self.clock,
            rng=random.Random(1),
            kill=self._kill,
            on_settled=self._settled,
        )

    def _step(self, name: str) -> None:
        if self.full and name == "journal.settle.commit":
            raise sqlite3.OperationalError("database or disk is full")

    async def _kill(self, session_id: str, reason: str | None) -> bool:
        self.killed.append((session_id, reason))
        return session_id in self.known

    async def _settled(self) -> None:
        self.told += 1
        self.settled.set()

    def deliver(self, identifier: str, op: str, params: JsonObject) -> None:
        self.journal.submit(MutationRequest(identifier, op, params, None, None), "host", self.clock.now())

    def ended(self, identifier: str) -> tuple[str | None, bool]:
        """Error or outcome, and whether anything was changed."""
        record = self.journal.find(identifier)
        assert record is not None
        return record.error or record.outcome, record.changed


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.journal.close()


async def test_a_deleted_pool_stops_claiming_now_and_after_a_restart(rig: Rig) -> None:
    """In memory and on disk; said twice it changes nothing, with other candidates it does."""
    for identifier, pools in (("m1", ["p1"]), ("m2", ["p1"]), ("m3", ["p2"])):
        rig.deliver(identifier, "pool.deleted", {"poolId": "p", "candidatePoolIds": [*pools]})
        await rig.lane.settle_all()
    assert [rig.ended(name) for name in ("m1", "m2", "m3")] == [
        ("applied", True), ("applied", False), ("applied", True),
    ]  # fmt: skip
    assert rig.host.status == rig.journal.host_status() == HostStatus("pool_deleted", candidate_pool_ids=("p2",))
    assert not rig.host.may_claim


async def test_memory_does_not_run_ahead_of_the_disk(rig: Rig) -> None:
    """What could not be written is not in effect: after a crash it would be gone."""
    rig.full = True
    rig.deliver("m1", "pool.deleted", {"poolId": "p"})
    with pytest.raises(JournalUnavailable):
        await rig.lane.settle_all()
    assert (rig.host.status, rig.journal.host_status(), rig.ended("m1")[0]) == (None, None, None)


async def test_a_full_disk_is_a_condition_and_tried_again(rig: Rig) -> None:
    """The mutation waits, and is settled when there is room, without being woken."""
    rig.full = True
    rig.deliver("m1", "session.kill", {"sessionId": "ses_1", "reason": "why"})
    async with anyio.create_task_group() as group:
        group.start_soon(rig.lane.run)
        rig.lane.wake()
        await rig.clock.sleepers()
        assert [condition.code for condition in rig.conditions.current()] == ["disk_full"]
        rig.full = False
        await rig.clock.advance(rig.clock.next_wake or 0.0)
        with anyio.fail_after(10):
            await rig.settled.wait()
        group.cancel_scope.cancel()
    assert rig.ended("m1") == ("applied", True)
    assert rig.killed == [("ses_1", "why")] * 2


async def test_a_session_nobody_knows_is_a_failure(rig: Rig) -> None:
    """And one bad mutation holds up no other."""
    rig.deliver("m1", "session.kill", {"sessionId": "ses_9"})
    rig.deliver("m2", "session.wake", {"sessionId": "ses_1"})
    rig.deliver("m3", "session.kill", {"sessionId": "ses_1"})
    await rig.lane.settle_all()
    assert rig.ended("m1")[0] == "session not known"
    assert rig.ended("m2")[0] == 'unsupported mutation op "session.wake" (upgrade daemon?)'
    assert rig.ended("m3") == ("applied", True)
    assert rig.told == 1
