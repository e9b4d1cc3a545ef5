"""The queued session detail, for a runner in a sandbox: all of it while the session is queued, next to nothing after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import Absent, Unauthorized
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.work import SessionRecord
from donmai_daemon.platform.service.callers import Callers, visible
from donmai_daemon.platform.service.tokens import Claims, Minted, Tokens, looks_like_jwt
from donmai_daemon.platform.service.transitions import Claimant
from donmai_daemon.platform.store.ports import HostStore, WorkStore


class DetailData(WorkStore, HostStore, Protocol):
    """What this service needs of a store."""


@dataclass(frozen=True, slots=True)
class Legacy:
    """`WORKER_API_KEY`, which stands for one organisation and names no worker."""

    key: Secret
    org_id: str


class Details:
    """Answers `GET /api/daemon/sessions/{id}`, and makes the tokens that are good for one session only."""

    def __init__(
        self, store: DetailData, tokens: Tokens, names: Names, public_url: str, legacy: Legacy | None
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._names = names
        self._public_url = public_url
        self._legacy = legacy
        self._callers = Callers(store)

    async def recognise(self, bearer: str | None) -> Claims:
        """Who asks: the bearer of a runtime token, or of the legacy key as a new worker without a host.

        Raises `Unauthorized`.
        """
        if bearer is None:
            raise Unauthorized("a runtime token is needed: Authorization: Bearer <token>")
        if looks_like_jwt(bearer):
            return await self._tokens.verify(bearer)
        if self._legacy is not None and Secret(bearer) == self._legacy.key:
            return Claims(self._names.new("wkr"), self._legacy.org_id, "", ())
        raise Unauthorized("the runtime token is not good")

    async def detail(self, claims: Claims, session_id: str) -> JsonObject:
        """What `claims` may see of the session. Raises `Absent`: also for another organisation's, and once it is claimed."""
        await self._callers.alive(claims)
        payload = await self._store.queued_payload(session_id)
        session = visible(await self._store.session(session_id), claims.org_id, claims.session_id)
        if payload is not None and session.queued:
            return {
                **payload,
                "workerId": claims.subject,
                # The claim that `running` makes of it: whoever repeats `running` is recognised by it.
                "claimId": self._names.new("clm"),
                **await self._credential(session, claims.subject, claims.registration),
            }
        if session.ended or session.worker_id is None:
            raise Absent("no such session")
        if not Claimant(claims.subject, claims.registration or None).owns(session):
            raise Absent("no such session")
        return {
            "sessionId": session.id,
            "workerId": session.worker_id,
            **await self._credential(session, session.worker_id, session.host_id or ""),
        }

    async def sandbox_token(self, session_id: str) -> Minted:
        """A token for a runner that has none: a worker of its own, good for this session only. Raises `Absent`."""
        session = await self._store.session(session_id)
        if session is None or session.ended:
            raise Absent(f"no session {session_id}, or it is over")
        return await self._mint(session, self._names.new("wkr"), "")

    async def _credential(self, session: SessionRecord, worker_id: str, host_id: str) -> JsonObject:
        minted = await self._mint(session, worker_id, host_id)
        return {"authToken": minted.token.reveal(), "platformUrl": self._public_url}

    async def _mint(self, session: SessionRecord, worker_id: str, host_id: str) -> Minted:
        scope = (f"session:{session.id}",)
        return await self._tokens.mint(Claims(worker_id, session.org_id, host_id, scope, session.project_id))
