"""The sessions as the control API reaches them."""

from __future__ import annotations

import hashlib
import hmac

import anyio

from donmai_daemon.errors import DonmaiError, PlatformRefused, PlatformUnreachable
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.session import Refusal, SessionHandle, StopReport
from donmai_daemon.sessions.manager import SessionManager
from donmai_daemon.sessions.platform_port import Credential, PlatformPort
from donmai_daemon.sessions.record import SessionRecord
from donmai_daemon.sessions.work import Unusable, read_work_item

STOP_ANSWER_SECONDS = 8.0
"""How long the answer to a stop waits for the end; the ending itself goes on."""

_STILL_ENDING = "it was told to end and has not yet; what is left of it is killed 20 s after that"


class SessionDesk:
    """Implements the control API's port."""

    def __init__(self, manager: SessionManager, platform: PlatformPort) -> None:
        self._manager = manager
        self._platform = platform
        self._last: dict[str, Credential] = {}

    def handles(self) -> list[SessionHandle]:
        return [handle_of(record) for record in self._manager.handles()]

    async def start(self, work: JsonObject) -> SessionHandle | Refusal:
        item = read_work_item(work)
        if isinstance(item, Unusable):
            return Refusal("invalid_work", item.reason)
        started = await self._manager.admit(item, origin="local")
        return started if isinstance(started, Refusal) else handle_of(started)

    async def stop(self, session_id: str) -> StopReport:
        with anyio.move_on_after(STOP_ANSWER_SECONDS):
            how = await self._manager.stop(session_id, "stopped on this host")
            return StopReport(session_id, how, None if how else "session not found")
        return StopReport(session_id, None, _STILL_ENDING)

    def may_read(self, session_id: str, bearer: str | None) -> bool:
        record = self._manager.live(session_id)
        presented = hashlib.sha256((bearer or "").encode()).hexdigest()
        expected = record.token_digest if record is not None and record.token_digest else "-" * len(presented)
        return hmac.compare_digest(presented, expected)

    def detail(self, session_id: str) -> JsonObject | None:
        record = self._manager.live(session_id)
        if record is None:
            return None
        return {**record.detail, "workerId": record.worker_id, "claimId": record.claim_id, "authToken": ""}

    async def full_detail(self, session_id: str) -> JsonObject | None:
        detail = self.detail(session_id)
        record = self._manager.live(session_id)
        if detail is None or record is None:
            return None
        credential = await self._credential(record)
        # Not while it was being fetched: the session may have ended, and its detail with it.
        if self._manager.live(session_id) is None:
            self._last.pop(session_id, None)
            return None
        return {**detail, "authToken": credential.auth_token, "platformUrl": credential.platform_url}

    async def _credential(self, record: SessionRecord) -> Credential:
        """Fetched anew each time, so that a session that reads again has what is good now; the last one where that fails."""
        try:
            fresh = await self._platform.credential(record.session_id)
        except DonmaiError as error:
            last = self._last.get(record.session_id)
            if last is not None and not isinstance(error, PlatformRefused):
                return last
            raise PlatformUnreachable(
                f"the platform gave no credential for the session: {error.message}"
            ) from error
        self._last = {i: c for i, c in self._last.items() if self._manager.live(i) is not None}
        self._last[record.session_id] = fresh
        return fresh


def handle_of(record: SessionRecord) -> SessionHandle:
    return SessionHandle(
        session_id=record.session_id,
        state=record.state,
        project_id=record.project_id,
        accepted_at=record.accepted_at,
        pid=record.process.pid if record.process is not None and record.state == "running" else None,
        outcome=record.outcome,
        interactive=record.interactive,
    )
