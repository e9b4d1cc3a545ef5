"""Beats: what a host says is kept, what waits for it is handed out, and a beat may be held until there is something."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from donmai_daemon.clock import Clock, rfc3339
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.conditions import Absent
from donmai_daemon.platform.records.hosts import is_outdated
from donmai_daemon.platform.records.mutations import BeatExchange, BeatOutcome, CountTransition
from donmai_daemon.platform.service.beat_report import BeatReport
from donmai_daemon.platform.service.mutations import delivery
from donmai_daemon.platform.service.registration import own_path
from donmai_daemon.platform.service.tokens import Claims
from donmai_daemon.platform.store.ports import BeatStore, LivenessStore
from donmai_daemon.platform.wakeups import WORK, LocalWakeups, host_topic, work_topic

_IN_FLIGHT = timedelta(seconds=10)
"""Longest that a beat may be on its way: its deadline is 5 s beyond its wait."""


class BeatData(BeatStore, LivenessStore, Protocol):
    """What this service needs of a store."""


class Hold:
    """One held beat. `end` may be called by anyone, any number of times: a newer beat, a client that left, a stop."""

    __slots__ = ("ended", "event", "work")

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.ended = False
        self.work = False
        """There is new work; whether there is still some is looked up."""

    def end(self) -> None:
        self.ended = True
        self.event.set()

    def wake(self, topic: str) -> None:
        """There is news on `topic`."""
        self.work = self.work or topic.startswith(WORK)
        self.event.set()


class Beats:
    """Answers beats. What a beat said is kept on arrival, also when the answer is held."""

    def __init__(
        self, store: BeatData, wakeups: LocalWakeups, clock: Clock, interval: timedelta, count: CountTransition
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._clock = clock
        self._interval = interval
        self._count = count
        self._holds: dict[str, Hold] = {}
        self._stopping = False
        self._log = structlog.get_logger("platform.beats")

    @property
    def held(self) -> int:
        """How many beats are held right now."""
        return len(self._holds)

    async def beat(
        self, claims: Claims, worker_id: str, report: BeatReport, wait: timedelta, hold: Hold
    ) -> JsonObject:
        """The answer to a beat, at once or after at most `wait`. Raises `Forbidden`, `Absent`."""
        own_path(claims, worker_id)
        if (older := self._holds.get(worker_id)) is not None:
            older.end()
        now = self._clock.now()
        wait = min(wait, self._interval)
        if report.acks or report.admission is not None:
            wait = timedelta()
        exchange = BeatExchange(
            worker_id, now, acks=report.acks, reported_digest=report.admission_digest, hold=wait > timedelta()
        )
        if not exchange.hold:
            return self._answer(await self._exchange(exchange, report, claims.registration))
        topics = [host_topic(claims.registration)]
        if report.status == "idle":
            topics.append(work_topic(claims.org_id))
        with self._holding(worker_id, topics, hold):
            outcome = await self._exchange(exchange, report, claims.registration)
            if not outcome.answered:
                outcome = await self._held(outcome, exchange, now + wait, hold)
        return self._answer(outcome)

    def end_holds(self) -> None:
        """Answer every held beat now, and hold none from here on: this process is about to stop."""
        self._stopping = True
        for hold in list(self._holds.values()):
            hold.end()

    async def _exchange(self, beat: BeatExchange, report: BeatReport, host_id: str) -> BeatOutcome:
        said = report.liveness(host_id, beat.worker_id, beat.at)
        late = self._interval + _IN_FLIGHT
        if report.admission is not None:
            kept = (await self._store.liveness([host_id])).get(host_id)
            if not is_outdated(said, kept, late) and not await self._store.report(beat.worker_id, report.admission):
                raise Absent("no such worker")
        outcome = await self._store.exchange(beat)
        if outcome is None:
            raise Absent("no such worker")
        foreign = set(outcome.foreign_acks)
        for ack in report.acks:
            if ack.id not in foreign:
                self._count("applied" if ack.error is None else "failed")
        # Only now: a superseded worker must not speak for its host.
        await self._store.note(said, late)
        if outcome.foreign_acks or report.ignored:
            self._log.warning(
                "beat.parts_ignored",
                host=outcome.host_id,
                foreign_acks=list(outcome.foreign_acks[:20]),
                parts=list(report.ignored[:5]),
                count=len(outcome.foreign_acks) + len(report.ignored),
            )
        return outcome

    async def _held(self, outcome: BeatOutcome, exchange: BeatExchange, until: datetime, hold: Hold) -> BeatOutcome:
        """Wait for news, the end of the wait, or the end of the hold; then read again."""
        # Whoever makes news commits first and wakes us then. We listen since before the look that `outcome` is of, and what
        # a wake-up leaves behind is cleared before a look, never after one:
        # 1. news is committed before the look: the look sees it;  2. after it: the event is set, and we look again.
        while True:
            due = until if outcome.next_due is None else min(until, outcome.next_due)
            await self._wait(hold, due - self._clock.now())
            if hold.ended:
                return replace(outcome, mutations=())
            hold.event.clear()
            work, hold.work = hold.work, False
            now = self._clock.now()
            looked = await self._store.exchange(replace(exchange, at=now, hold=now < until))
            if looked is None:
                raise Absent("no such worker")
            if looked.answered or (work and looked.queued_work):
                return looked
            outcome = looked

    @contextmanager
    def _holding(self, worker_id: str, topics: Sequence[str], hold: Hold) -> Iterator[None]:
        self._holds[worker_id] = hold
        if self._stopping:
            hold.end()
        try:
            with self._wakeups.waiting(hold.wake, topics):
                yield
        finally:
            if self._holds.get(worker_id) is hold:
                del self._holds[worker_id]

    async def _wait(self, hold: Hold, span: timedelta) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(span.total_seconds()):
                await hold.event.wait()

    def _answer(self, outcome: BeatOutcome) -> JsonObject:
        for mutation in outcome.mutations:
            if mutation.status == "pending":  # as it was read; what is delivered again was delivered already
                self._count("delivered")
        mutations: list[Json] = [delivery(mutation) for mutation in outcome.mutations]
        return {
            "acknowledged": True,
            "serverTime": rfc3339(self._clock.now()),
            "pendingWorkCount": outcome.queued_work,
            "hostStatus": outcome.host_status.to_json(),
            "pendingMutations": mutations,
            "heldBeats": True,
        }
