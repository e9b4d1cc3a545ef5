"""Who may speak of a session: a daemon with its own token, a runner with one for that session, a key of the organisation."""

from __future__ import annotations

from dataclasses import dataclass

from donmai_daemon.platform.conditions import Absent, Forbidden
from donmai_daemon.platform.records.work import SessionRecord
from donmai_daemon.platform.service.tokens import WORKER_SCOPE, Claims
from donmai_daemon.platform.service.transitions import Claimant
from donmai_daemon.platform.store.ports import HostStore


class Callers:
    """Checks tokens against workers and sessions."""

    def __init__(self, store: HostStore) -> None:
        self._store = store

    async def alive(self, claims: Claims) -> None:
        """Raises `Absent` for a daemon's token whose worker is superseded. A session's token outlives that."""
        if WORKER_SCOPE not in claims.scope:
            return
        worker = await self._store.worker(claims.subject)
        if worker is None or not worker.current:
            raise Absent("no such worker")


def visible(session: SessionRecord | None, org_id: str, session_scope: str | None = None) -> SessionRecord:
    """The session, where the caller may know that there is one. Raises `Absent`, for another organisation's as well."""
    if session is None or session.org_id != org_id or session_scope not in (None, session.id):
        raise Absent("no such session")
    return session


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks of a session: a token, and the worker and the claim that the request's body names."""

    claims: Claims
    worker_id: str
    claim_id: str | None = None

    def claimant(self, session: SessionRecord) -> Claimant:
        """The worker it speaks for. Raises `Absent` for a session that is none of its business, `Forbidden` where the
        token does not bear out the name.

        A daemon that has registered again still speaks for what its former worker claimed: the token names its host.
        """
        visible(session, self.claims.org_id, self.claims.session_id)
        host_id = self.claims.registration or None
        former = host_id is not None and session.host_id == host_id and session.worker_id == self.worker_id
        if self.worker_id != self.claims.subject and not former:
            raise Forbidden("this token belongs to another worker")
        return Claimant(self.worker_id, host_id, self.claim_id)
