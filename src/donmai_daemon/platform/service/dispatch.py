"""Handing work to workers: the answer to a poll is the claim, a claim that nobody confirms or renews lapses."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.model.json import Json
from donmai_daemon.platform.conditions import Absent, StoreUnavailable
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.hosts import HostRecord, Liveness
from donmai_daemon.platform.records.work import ClaimRequest, SessionRecord
from donmai_daemon.platform.service.callers import Callers, Voice
from donmai_daemon.platform.service.queue import WOKEN_PER_ITEM
from donmai_daemon.platform.service.registration import own_path
from donmai_daemon.platform.service.tokens import Claims
from donmai_daemon.platform.service.transitions import given_back, lapsed
from donmai_daemon.platform.settings import Leases
from donmai_daemon.platform.store.ports import HostStore, LivenessStore, WorkStore
from donmai_daemon.platform.wakeups import Wakeups, work_topic

_HIDDEN_AFTER_NACK = timedelta(seconds=60)
_LAPSED_PAGE = 500


class DispatchData(WorkStore, HostStore, LivenessStore, Protocol):
    """What this service needs of a store."""


class Dispatch:
    """Polls, nacks, and the sweep for lapsed claims."""

    def __init__(self, store: DispatchData, wakeups: Wakeups, clock: Clock, names: Names, leases: Leases) -> None:
        self._store = store
        self._wakeups = wakeups
        self._clock = clock
        self._names = names
        self._leases = leases
        self._callers = Callers(store)
        self._log = structlog.get_logger("platform.dispatch")

    async def poll(self, claims: Claims, worker_id: str) -> list[Json]:
        """Claim what this worker has room for; the work items. Raises `Forbidden`, `Absent`."""
        own_path(claims, worker_id)
        await self._callers.alive(claims)
        host = await self._store.host(claims.org_id, claims.registration)
        if host is None:
            raise Absent("no such worker")
        beat = (await self._store.liveness([host.id])).get(host.id)
        if beat is not None and beat.worker_id != worker_id:
            beat = None  # the last words of its former worker
        if host.status.blocks_claiming or (beat is not None and beat.status == "draining"):
            return []
        claimed = await self._store.claim(self._request(host, beat, worker_id))
        for work in claimed:
            session = work.session
            self._log.info("work.claimed", session=session.id, worker=worker_id, claim=session.claim_id)
        return [{**work.payload, "claimId": work.session.claim_id} for work in claimed]

    async def nack(self, session_id: str, voice: Voice, reason: str) -> SessionRecord:
        """Give a claim back; the same host is not offered it again for a while. Raises `Absent`, `Forbidden`, `Conflict`."""
        await self._callers.alive(voice.claims)
        now = self._clock.now()

        def decide(session: SessionRecord) -> SessionRecord:
            return given_back(session, voice.claimant(session), reason, now)

        session = await self._store.change(session_id, decide, now, voice.worker_id)
        if session is None:
            raise Absent("no such session")
        self._log.warning("work.refused", session=session_id, worker=voice.worker_id, reason=reason)
        if session.queued:  # else its end was asked for, and this was it
            if voice.claims.registration:
                await self._store.hide(session_id, voice.claims.registration, now + _HIDDEN_AFTER_NACK)
            await self._wakeups.publish(work_topic(session.org_id), WOKEN_PER_ITEM)
        return session

    async def sweep_for_ever(self) -> None:
        """Look for lapsed claims until cancelled. Any number of processes may do so: each decides on the row as it is."""
        while True:
            await self._clock.sleep(self._leases.sweep_every.total_seconds())
            try:
                await self.sweep()
            except StoreUnavailable as error:
                self._log.warning("dispatch.sweep_failed", reason=error.cause)

    async def sweep(self) -> None:
        """Renew the claims of hosts that still beat; end the others that are due."""
        now = self._clock.now()
        due = await self._store.lapsed(now, _LAPSED_PAGE)
        beats = await self._store.liveness([session.host_id for session in due if session.host_id])
        for session in due:
            beat = beats.get(session.host_id or "")
            alive_until = None if beat is None else beat.seen_at + self._leases.lease
            after = await self._store.change(
                session.id, partial(lapsed, at=now, alive_until=alive_until), now, "platform"
            )
            if after is None or after.lease_until is not None:
                continue
            self._log.warning("work.lapsed", session=session.id, was=session.status, status=after.status)
            if after.queued:
                await self._wakeups.publish(work_topic(after.org_id), WOKEN_PER_ITEM)

    def _request(self, host: HostRecord, beat: Liveness | None, worker_id: str) -> ClaimRequest:
        admission = host.admission
        projects = None
        if admission is not None and admission.mode == "enumerated" and admission.enabled_ids is not None:
            projects = frozenset(admission.enabled_ids)
        told = beat.max_sessions if beat is not None else None
        return ClaimRequest(
            org_id=host.org_id,
            host_id=host.id,
            worker_id=worker_id,
            projects=projects,
            capacity=host.capacity if told is None else told,
            active=0 if beat is None else beat.active_count,
            at=self._clock.now(),
            confirm_within=self._leases.confirm_within,
            new_claim_id=lambda: self._names.new("clm"),
        )
