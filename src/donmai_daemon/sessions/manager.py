"""The sessions of this host: admitted, started, watched, stopped, reported; also across restarts of the daemon."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.session import Refusal
from donmai_daemon.sessions.admission import Admitted, Standing, decide
from donmai_daemon.sessions.record import LIVE, SessionOrigin, SessionRecord
from donmai_daemon.sessions.reporter import Reporter
from donmai_daemon.sessions.session import Session, SessionTools
from donmai_daemon.sessions.work import PollAnswer, WorkItem

Stopped: TypeAlias = Literal["terminated", "killed", "already_ended"]

_FLUSH_SECONDS = 5.0
_SHUTDOWN = "the host is shutting down"


class SessionManager:
    """Give it a task (`run`) before anything else is called.

    `standing` is asked at each admission, so a policy that has just been set counts for the next one.
    """

    def __init__(
        self, *, tools: SessionTools, reporter: Reporter, standing: Callable[[int], Standing], worker_id: Callable[[], str | None]
    ) -> None:  # fmt: skip
        self._tools = tools
        self._reporter = reporter
        self._standing = standing
        self._worker_id = worker_id
        self._sessions: dict[str, Session] = {}
        self._reporting = 0
        self._reported = anyio.Event()
        self._group: TaskGroup | None = None
        self._log = structlog.get_logger("sessions")

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopt what an earlier daemon left, then watch and report until cancelled. Cancelled, sessions go on."""
        async with anyio.create_task_group() as group:
            self._group = group
            await self._adopt()
            task_status.started()
            await anyio.Event().wait()  # not sleep_forever(), which is a timer

    @property
    def active_count(self) -> int:
        """Sessions that take a place now."""
        return sum(session.record.state in LIVE for session in self._sessions.values())

    @property
    def interactive_count(self) -> int:
        """Those of the active ones that a person talks to."""
        return sum(s.record.state in LIVE and s.record.interactive for s in self._sessions.values())

    def handles(self) -> list[SessionRecord]:
        """What is not yet done with: live, or ended and not yet reported. Oldest first."""
        return [s.record for s in self._sessions.values() if s.record.state in LIVE | {"ended"}]

    def live(self, session_id: str) -> SessionRecord | None:
        """The record of a session that takes a place now."""
        session = self._sessions.get(session_id)
        return session.record if session is not None and session.record.state in LIVE else None

    async def take(self, answer: PollAnswer) -> None:
        """Start or refuse everything that a poll has claimed."""
        for unusable in answer.unusable:
            if unusable.session_id is None:
                self._log.error("work.unnamed", reason=unusable.reason)
            else:
                await self._refuse(unusable.session_id, unusable.reason, unusable.payload)
        for session_id in answer.claimed_elsewhere:
            if session_id not in self._sessions:
                await self._refuse(session_id, "the claim came without a readable work item", None)
        for work in answer.items:
            known = self._sessions.get(work.session_id)
            if known is not None and known.record.claim_id == work.claim_id is not None:
                # The same claim told twice. To give it back would take it from the session that has it.
                self._log.warning("work.repeated", session=work.session_id, state=known.record.state)
                continue
            result = await self.admit(work, origin="platform")
            if isinstance(result, Refusal):
                await self._refuse(work.session_id, result.reason, work.payload, work.claim_id)

    async def admit(self, work: WorkItem, *, origin: SessionOrigin) -> SessionRecord | Refusal:
        """Admit and start `work`; the record of the running session, or why not."""
        known = self._sessions.get(work.session_id)
        if known is not None and (known.record.state in LIVE | {"ended"} or origin == "local"):
            return Refusal("duplicate_session", f"session is already {known.record.state} on this host")
        standing = self._standing(self.active_count)
        decision = decide(work, standing)
        if isinstance(decision, Refusal):
            self._log.info("session.refused", session=work.session_id, code=decision.code, reason=decision.reason)
            return decision
        record = SessionRecord(
            session_id=work.session_id,
            state="claimed",
            accepted_at=rfc3339(self._tools.clock.now()),
            origin=origin,
            worker_id=self._worker_id() or "",
            # A runner repeats what got no answer; by the claim's id it is recognised. What was not polled has none yet.
            claim_id=work.claim_id if origin == "platform" else work.claim_id or f"clm_{secrets.token_hex(12)}",
            project_id=work.project_id,
            interactive=work.interactive,
            detail=detail_of(decision),
        )
        # Before the first await, so that of two admissions at once the second sees the place taken.
        session = self._sessions[work.session_id] = Session(record, self._tools)
        try:
            await session.save(record)
            self._tasks.start_soon(self._confirm, session)
            await session.start(standing.config)
        except OSError as error:
            self._log.error("session.start_failed", session=work.session_id, reason=error.strerror)
            del self._sessions[work.session_id]
            session.ended.set()
            await self._tools.store.run(self._tools.records.forget, work.session_id)
            return Refusal("start_failed", f"the session could not be started: {error.strerror}")
        self._tasks.start_soon(self._follow, session)
        return session.record

    async def stop(self, session_id: str, reason: str) -> Stopped | None:
        """End one session, its siblings untouched; returns when it is gone. None: no such session. Twice is fine."""
        session = self._sessions.get(session_id)
        if session is None or session.record.state == "refused":
            return None
        if session.record.state not in LIVE:
            return "already_ended"
        return await session.stop(reason)

    async def kill(self, session_id: str, reason: str | None) -> bool:
        """The operation `session.kill`: True where there was one to end, or it had ended; False where none is known."""
        return await self.stop(session_id, reason or "killed by the platform") is not None

    async def drain(self, seconds: float) -> int:
        """Wait up to `seconds` for running sessions, then end them; returns how many had to be ended.

        Nothing is admitted meanwhile because the caller has stopped accepting. Reports get a few seconds more; what is
        not told then is told after the next start.
        """
        with anyio.move_on_after(seconds):
            for session in list(self._sessions.values()):
                if session.record.state in LIVE:
                    await session.ended.wait()
        left = [session for session in self._sessions.values() if session.record.state in LIVE]
        async with anyio.create_task_group() as group:
            for session in left:
                group.start_soon(session.stop, _SHUTDOWN)
        with anyio.move_on_after(_FLUSH_SECONDS):
            while self._reporting:
                await self._reported.wait()
        return len(left)

    @property
    def _tasks(self) -> TaskGroup:
        assert self._group is not None  # run() comes first
        return self._group

    async def _adopt(self) -> None:
        for record in await self._tools.store.run(self._tools.records.load):
            session = self._sessions[record.session_id] = Session(record, self._tools)
            if record.state in {"claimed", "starting"}:
                await self._begin_again(session)
            elif record.state == "running":
                event = "session.adopted" if session.adoptable else "session.found_ended"
                self._log.info(event, session=record.session_id)
                self._tasks.start_soon(self._follow, session)
            elif record.state == "ended":
                session.ended.set()
                self._tasks.start_soon(self._report, session)
            elif record.state == "refused":
                self._tasks.start_soon(self._give_back, session)
            else:
                session.ended.set()

    async def _begin_again(self, session: Session) -> None:
        """Start what was claimed and had not begun: its runner, if there was one, waited at the gate and has left.

        Should the claim have lapsed meanwhile, the platform refuses the new runner's `running`, and no agent starts.
        """
        self._log.info("session.begun_again", session=session.record.session_id)
        self._tasks.start_soon(self._confirm, session)
        try:
            await session.start(self._standing(self.active_count).config)
        except OSError as error:
            session.ended.set()
            reason = f"the session could not be started: {error.strerror}"
            await self._save_quietly(session, replace(session.record, state="refused", reason=reason))
            self._tasks.start_soon(self._give_back, session)
        else:
            self._tasks.start_soon(self._follow, session)

    async def _confirm(self, session: Session) -> None:
        """Tell the platform that its claim arrived, as long as that can matter."""
        if session.record.origin == "local" or session.record.claim_id is None:
            return
        async with anyio.create_task_group() as group:

            async def told() -> None:
                await self._reporter.confirm(session.record)
                group.cancel_scope.cancel()

            group.start_soon(told)
            await session.ended.wait()
            group.cancel_scope.cancel()

    async def _follow(self, session: Session) -> None:
        if session.stop_reason is not None:  # asked for while it was starting
            self._tasks.start_soon(session.stop, session.stop_reason)
        await session.watch()
        await self._report(session)

    async def _report(self, session: Session) -> None:
        self._reporting += 1
        try:
            await self._reporter.ended(session.record)
            await self._save_quietly(session, replace(session.record, state="reported"))
            reported = [s.record for s in self._sessions.values() if s.record.state == "reported"]
            for old in await self._tools.store.run(self._tools.records.prune, reported):
                del self._sessions[old.session_id]
                await self._tools.store.run(self._tools.spawner.files.remove, old.session_id)
        finally:
            self._one_reported()

    async def _refuse(self, session_id: str, reason: str, payload: Json, claim_id: str | None = None) -> None:
        """Give a claim back, insistently and across restarts."""
        known = self._sessions.get(session_id)
        record = SessionRecord(
            session_id=session_id,
            state="refused",
            accepted_at=rfc3339(self._tools.clock.now()),
            worker_id=self._worker_id() or "",
            claim_id=claim_id,
            reason=reason,
            detail=payload if isinstance(payload, dict) else {},
        )
        session = Session(record, self._tools)
        if known is None or known.record.state not in LIVE | {"ended"}:
            # Otherwise the record on disk belongs to the session that runs, and is not replaced by a duplicate's.
            self._sessions[session_id] = session
            await self._save_quietly(session, record)
        self._tasks.start_soon(self._give_back, session)

    async def _give_back(self, session: Session) -> None:
        self._reporting += 1
        try:
            await self._reporter.refused(session.record)
            session_id = session.record.session_id
            if self._sessions.get(session_id) is session:
                del self._sessions[session_id]
                await self._tools.store.run(self._tools.records.forget, session_id)
        finally:
            self._one_reported()

    async def _save_quietly(self, session: Session, record: SessionRecord) -> None:
        try:
            await session.save(record)
        except OSError as error:
            self._log.error("session.record_not_saved", session=record.session_id, reason=error.strerror)
            session.record = record

    def _one_reported(self) -> None:
        self._reporting -= 1
        self._reported.set()
        self._reported = anyio.Event()


def detail_of(admitted: Admitted) -> JsonObject:
    """What the runner is given: the work as it came, with what admission decided put in."""
    payload = dict(admitted.work.payload)
    profile = payload.get("resolvedProfile")
    access = admitted.access
    resolved: JsonObject = dict(profile) if isinstance(profile, dict) else {}
    resolved |= {"authMode": access.auth_mode, "allowedAuthModes": list(access.effective), "model": access.model}
    if access.host:
        resolved["host"] = access.host
    return payload | {"repository": admitted.repository, "resolvedProfile": resolved}
