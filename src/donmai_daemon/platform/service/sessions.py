"""Sessions from the side of whoever runs them: statuses, the lease, what the agent tells, what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.conditions import Absent
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.work import Activity, Decision, SessionRecord
from donmai_daemon.platform.service.callers import Callers, Voice, visible
from donmai_daemon.platform.service.tokens import Claims
from donmai_daemon.platform.service.transitions import Claimant, Report, moved, refreshed, refusal
from donmai_daemon.platform.settings import Leases
from donmai_daemon.platform.store.ports import HostStore, WorkStore

KEPT_ACTIVITIES = 1000


class SessionData(WorkStore, HostStore, Protocol):
    """What this service needs of a store."""


class Sessions:
    """Every method raises `Absent` and `Forbidden`, and `Conflict` where it says so."""

    def __init__(self, store: SessionData, clock: Clock, names: Names, leases: Leases) -> None:
        self._store = store
        self._clock = clock
        self._names = names
        self._leases = leases
        self._callers = Callers(store)
        self._log = structlog.get_logger("platform.sessions")

    async def look(self, session_id: str, claims: Claims) -> SessionRecord:
        """How a session stands, for a worker of its organisation or the runner that has a token for it."""
        await self._callers.alive(claims)
        return visible(await self._store.session(session_id), claims.org_id, claims.session_id)

    async def report(self, session_id: str, voice: Voice, report: Report) -> SessionRecord:
        """Take a status. Raises `Conflict` with status, worker and claim as they are."""
        now, new_claim_id = self._clock.now(), self._names.new("clm")

        def decide(session: SessionRecord) -> SessionRecord:
            return moved(session, voice.claimant(session), report, now, self._leases.lease, new_claim_id)

        session = await self._change(session_id, voice, decide)
        self._log.info("session.moved", session=session_id, status=session.status, worker=voice.worker_id)
        return session

    async def refresh_lock(self, session_id: str, voice: Voice) -> JsonObject:
        """Renew the lease: `refreshed`, and `stop` where the session is to end or has ended."""
        now = self._clock.now()

        def decide(session: SessionRecord) -> SessionRecord:
            return refreshed(session, voice.claimant(session), now, self._leases.lease)

        session = await self._change(session_id, voice, decide)
        answer: JsonObject = {"refreshed": session.lease_until == now + self._leases.lease}
        return answer | {"stop": True} if session.stop_requested or session.ended else answer

    async def tell(self, session_id: str, voice: Voice, kind: str, content: str) -> None:
        """Keep something that the agent said. Raises `Conflict` where the session is another's."""
        await self._callers.alive(voice.claims)
        session = await self._store.session(session_id)
        if session is None:
            raise Absent("no such session")
        _owned(session, voice.claimant(session))
        activity = Activity(session_id, self._clock.now(), kind, content)
        await self._store.add_activity(activity, KEPT_ACTIVITIES)

    async def complete(self, session_id: str, voice: Voice, summary: str) -> None:
        """Keep what came of the session; it may be over already. Raises `Conflict` where it is another's."""

        def decide(session: SessionRecord) -> SessionRecord:
            _owned(session, voice.claimant(session))
            return replace(session, summary=summary)

        await self._change(session_id, voice, decide)

    async def _change(self, session_id: str, voice: Voice, decide: Decision) -> SessionRecord:
        await self._callers.alive(voice.claims)
        session = await self._store.change(session_id, decide, self._clock.now(), voice.worker_id)
        if session is None:
            raise Absent("no such session")
        return session


def _owned(session: SessionRecord, who: Claimant) -> None:
    if not who.holds_claim(session):
        raise refusal(session, "not_claimed" if session.claim_id is None else "claimed_by_another")
