"""Polling: only while work could begin, at once when told, with patience after a failure."""

from __future__ import annotations

import random

import anyio
import pytest
from tests.support.clock import FakeClock

from donmai_daemon.errors import DonmaiError, PlatformRefused, PlatformUnreachable
from donmai_daemon.model.json import JsonObject
from donmai_daemon.runtime.poller import Poller
from donmai_daemon.sessions.work import PollAnswer

pytestmark = pytest.mark.anyio


class Desk:
    """What a poller is given: answers to give, and what it took."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.open = True
        self.answers: list[JsonObject | DonmaiError] = []
        self.polls: list[float] = []
        self.taken: list[PollAnswer] = []
        self.poller = Poller(
            claim=self._claim,
            take=self._take,
            may_poll=lambda: self.open,
            interval=lambda: 5.0,
            clock=self.clock,
            rng=random.Random(1),
        )

    async def _claim(self) -> JsonObject:
        self.polls.append(self.clock.monotonic() - 1000.0)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, DonmaiError):
            raise answer
        return answer

    async def _take(self, answer: PollAnswer) -> None:
        self.taken.append(answer)


async def pass_time(desk: Desk, seconds: float) -> None:
    await desk.clock.advance(seconds)
    await anyio.wait_all_tasks_blocked()


async def test_polls_come_on_the_interval() -> None:
    """The first at once, then one an interval; what is claimed is taken."""
    desk = Desk()
    desk.answers = [{}, {"work": [{"sessionId": "a"}]}]
    async with anyio.create_task_group() as group:
        group.start_soon(desk.poller.run)
        await anyio.wait_all_tasks_blocked()
        await pass_time(desk, 12)
        group.cancel_scope.cancel()
    assert desk.polls == [0.0, 5.0, 10.0]
    assert [item.session_id for answer in desk.taken for item in answer.items] == ["a"]


async def test_nothing_is_claimed_while_nothing_could_begin() -> None:
    """Paused, draining, full or told to claim nothing: no poll, until that changes."""
    desk = Desk()
    desk.open = False
    async with anyio.create_task_group() as group:
        group.start_soon(desk.poller.run)
        await anyio.wait_all_tasks_blocked()
        desk.poller.work_waits()
        await pass_time(desk, 60)
        assert desk.polls == []
        desk.open = True
        desk.poller.look_again()
        await anyio.wait_all_tasks_blocked()
        assert desk.polls == [60.0]
        group.cancel_scope.cancel()


async def test_a_place_that_comes_free_is_offered_at_once() -> None:
    """Full, and free again, also while the poll that filled it is being taken: work that waits is asked for now."""
    desk = Desk()
    async with anyio.create_task_group() as group:
        group.start_soon(desk.poller.run)
        await anyio.wait_all_tasks_blocked()
        await pass_time(desk, 1)
        for freely in (False, False, True, True):
            desk.open = freely
            desk.poller.look_again()
        await anyio.wait_all_tasks_blocked()
        assert desk.polls == [0.0, 1.0]
        desk.poller.look_again()
        await pass_time(desk, 4.9)
        assert desk.polls == [0.0, 1.0]
        group.cancel_scope.cancel()


async def test_word_of_work_is_followed_at_once() -> None:
    """A beat that says work waits does not wait for the interval."""
    desk = Desk()
    async with anyio.create_task_group() as group:
        group.start_soon(desk.poller.run)
        await anyio.wait_all_tasks_blocked()
        await pass_time(desk, 1)
        desk.poller.work_waits()
        await anyio.wait_all_tasks_blocked()
        assert desk.polls == [0.0, 1.0]
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "failure",
    [PlatformUnreachable("down"), PlatformRefused(429, "", 30.0), {"work": 1, "x": 2}, {"nothing": "bad"}],
)
async def test_a_failure_is_waited_out(failure: JsonObject | DonmaiError) -> None:
    """After a failure the next poll waits at least an interval and what the platform asks for, word of work or not."""
    desk = Desk()
    desk.answers = [failure]
    async with anyio.create_task_group() as group:
        group.start_soon(desk.poller.run)
        await anyio.wait_all_tasks_blocked()
        if isinstance(failure, DonmaiError):
            desk.poller.work_waits()
        await pass_time(desk, 4.9)
        assert desk.polls == [0.0]
        await pass_time(desk, 60)
        group.cancel_scope.cancel()
    least = 30.0 if isinstance(failure, PlatformRefused) else 5.0
    assert desk.polls[1] >= least


@pytest.mark.parametrize(
    "claimed",
    [{"work": [{"prompt": "nameless"}]}, {"work": [], "claimedSessionIds": ["ses_1"]}],
    ids=["unusable", "missing"],
)
async def test_a_claim_that_cannot_be_read_is_taken_all_the_same(claimed: JsonObject) -> None:
    """Somebody has to give it back, or it is lost until it lapses."""
    desk = Desk()
    desk.answers = [claimed]
    async with anyio.create_task_group() as group:
        group.start_soon(desk.poller.run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    (taken,) = desk.taken
    assert len(taken.unusable) + len(taken.claimed_elsewhere) == 1
