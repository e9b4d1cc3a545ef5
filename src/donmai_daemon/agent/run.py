"""`donmai agent run`: one session from its detail to its final status."""

from __future__ import annotations

import base64
import json
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
import structlog

from donmai_daemon.agent.fetch import Detail, fetch_detail, read_detail
from donmai_daemon.agent.options import AgentOptions
from donmai_daemon.agent.output import OutputLog
from donmai_daemon.agent.platform_session import PlatformSession
from donmai_daemon.agent.repository import check_ref, read_repository
from donmai_daemon.agent.stop import Stop
from donmai_daemon.agent.supervisor import Supervisor
from donmai_daemon.agent.workspace import Git, make_workspace
from donmai_daemon.clock import Clock
from donmai_daemon.errors import DonmaiError, PlatformRefused
from donmai_daemon.link.client import PlatformClient
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.sessions.ending import reason_file

FinalStatus: TypeAlias = Literal["completed", "failed", "stopped"]
OpenClient: TypeAlias = Callable[[PlatformLink], PlatformClient]

REPORT_SECONDS = 300.0
"""How long a status is tried to be posted."""

HURRIED_REPORT_SECONDS = 8.0
"""The same after a stop was asked: a daemon sends KILL 20 s after TERM, and the agent may have taken 10 of them."""

COMPLETED, FAILED, PREFLIGHT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `preflight`: it ended before anything was begun."""

    session_id: str
    status: FinalStatus
    worktree: Path | None = None
    exit_code: int | None = None
    seconds: float = 0.0
    error: str | None = None
    preflight: bool = False

    @property
    def process_exit_code(self) -> int:
        if self.preflight:
            return PREFLIGHT
        return COMPLETED if self.status == "completed" else FAILED

    def line(self) -> str:
        """The one line of JSON on standard output."""
        body: JsonObject = {
            "sessionId": self.session_id,
            "status": self.status,
            "worktreePath": None if self.worktree is None else str(self.worktree),
            "exitCode": self.exit_code,
            "durationSeconds": round(self.seconds, 3),
        }
        if self.error is not None:
            body["error"] = self.error
        return json.dumps(body)


class AgentRun:
    """One run of one session, with what it needs from outside."""

    def __init__(
        self, options: AgentOptions, *, open_client: OpenClient, clock: Clock, rng: random.Random, python: str
    ) -> None:
        self._options = options
        self._open_client = open_client
        self._clock = clock
        self._rng = rng
        self._python = python
        self._log = OutputLog(options.log)
        self._stop = Stop()
        self._events = structlog.get_logger("agent").bind(session=options.session_id)

    async def run(self) -> RunResult:
        """Until the session has ended and that is reported. SIGINT and SIGTERM stop it in good order."""
        started = self._clock.monotonic()
        async with anyio.create_task_group() as group:
            await group.start(self._watch_signals)
            result = await self._session()
            group.cancel_scope.cancel()
        result = replace(result, seconds=self._clock.monotonic() - started)
        self._events.info("agent.ended", status=result.status, exit_code=result.exit_code, reason=result.error)
        return result

    async def _watch_signals(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                self._stop.ask("stopped", self._reason() or f"by {signal.Signals(number).name}")

    def _reason(self) -> str:
        """What the daemon left beside the log before it sent the signal; "" where it was not the daemon."""
        if self._options.log is None:
            return ""
        try:
            return reason_file(self._options.log).read_text("utf-8", "replace")
        except OSError:
            return ""

    async def _session(self) -> RunResult:
        options = self._options
        failed = RunResult(options.session_id, "failed", preflight=True)
        try:
            async with self._open_client(options.link) as source:
                payload = await self._stop.unless_asked(
                    fetch_detail(source, options.session_id, options.bearer, self._clock, self._rng)
                )
                if payload is None:
                    return replace(failed, status="stopped", error=self._stop.reason)
                detail = read_detail(payload, options.bearer)
                async with self._open_client(replace(options.link, url=detail.platform_url)) as client:
                    platform = self._platform_session(client, source, detail)
                    return await self._work(detail, platform)
        except DonmaiError as error:
            return replace(failed, error=error.message)

    async def _work(self, detail: Detail, platform: PlatformSession) -> RunResult:
        workspace = self._options.worktrees / self._options.session_id
        result = RunResult(self._options.session_id, "failed", workspace)
        try:
            problem = await self._prepare(detail, workspace)
            # Also where the clone failed: the platform then knows whose session failed, and why.
            await self._stop.unless_asked(platform.report("running", REPORT_SECONDS))
            code: int | None = None
            if problem is None and not self._stop.asked:
                code, problem = await self._supervise(detail, platform, workspace)
            return await self._finish(replace(result, exit_code=code), platform, self._ending(code, problem))
        except PlatformRefused as error:
            # Whatever was refused, the platform knows better whose session this is and how it stands.
            self._events.warning("agent.refused", reason=error.message)
            return replace(result, error=self._stop.reason or error.message)
        except DonmaiError as error:
            return replace(result, error=error.message)

    async def _prepare(self, detail: Detail, workspace: Path) -> str | None:
        """Make the workspace; what went wrong, or None."""
        git = Git(self._python, self._options.mark, self._options.environment, self._log.write)
        try:
            repository = None if detail.repository is None else read_repository(detail.repository)
            ref = None if detail.ref is None else check_ref(detail.ref)
            branch = None if detail.branch is None else check_ref(detail.branch)
            await self._stop.unless_asked(make_workspace(git, repository, ref, branch, workspace))
        except DonmaiError as error:
            return error.message
        except OSError as error:
            return f"the workspace cannot be made: {error.strerror}"
        return None

    async def _supervise(
        self, detail: Detail, platform: PlatformSession, workspace: Path
    ) -> tuple[int | None, str | None]:
        supervisor = Supervisor(
            command=self._options.command,
            environment=self._options.environment,
            mark=self._options.mark,
            python=self._python,
            log=self._log,
            clock=self._clock,
            stop=self._stop,
        )
        try:
            code = await supervisor.run(self._options.session_id, detail, platform, workspace)
        except OSError as error:
            return None, f"the agent cannot be started: {error.strerror}"
        if code == 0:
            return code, None
        return code, f"the agent ended by signal {-code}" if code < 0 else f"the agent ended with exit code {code}"

    def _ending(self, code: int | None, problem: str | None) -> tuple[FinalStatus, str | None]:
        if self._stop.outcome is not None:
            return self._stop.outcome, self._stop.reason
        return ("completed", None) if code == 0 and problem is None else ("failed", problem)

    async def _finish(
        self, result: RunResult, platform: PlatformSession, ending: tuple[FinalStatus, str | None]
    ) -> RunResult:
        status, error = ending
        result = replace(result, status=status, error=error)
        more: JsonObject = {} if error is None else {"error": error}
        if result.exit_code is not None:
            more["exitCode"] = result.exit_code
        async with anyio.create_task_group() as group:

            async def hurry() -> None:
                """Asked to stop, also while it reports: the result line comes in any case, before somebody sends a KILL."""
                await self._stop.wait()
                await self._clock.sleep(HURRIED_REPORT_SECONDS)
                self._events.warning("agent.not_reported", status=status, reason="there was no more time for it")
                group.cancel_scope.cancel()

            group.start_soon(hurry)
            await self._tell_end(platform, status, more)
            group.cancel_scope.cancel()
        return result

    async def _tell_end(self, platform: PlatformSession, status: FinalStatus, more: JsonObject) -> None:
        """The work has ended as it has, whether or not the platform can be told so. Beside a daemon, that will tell it."""
        try:
            await platform.report("finalizing", REPORT_SECONDS)
        except DonmaiError as refused:
            self._events.info("agent.finalizing_not_reported", reason=refused.message)
        try:
            await platform.report(status, REPORT_SECONDS, more)
        except DonmaiError as unreported:
            self._events.warning("agent.not_reported", status=status, reason=unreported.message)

    def _platform_session(self, client: PlatformClient, source: PlatformClient, detail: Detail) -> PlatformSession:
        async def renew(stale: Secret) -> Secret:
            """By the bearer that fetched the detail; where that is refused, by the session's own credential."""
            try:
                payload = await source.session_detail(self._options.session_id, self._options.bearer)
            except PlatformRefused:
                payload = await source.session_detail(self._options.session_id, stale)
            return read_detail(payload, stale).token

        return PlatformSession(
            client=client,
            session_id=self._options.session_id,
            worker_id=detail.worker_id or subject_of(detail.token),
            claim_id=detail.claim_id,
            issue_id=detail.issue_id,
            token=detail.token,
            renew=renew,
            clock=self._clock,
            rng=self._rng,
        )


def subject_of(token: Secret) -> str:
    """The `sub` of a JSON Web Token, unverified: who the platform says we are. "" for any other token."""
    parts = token.reveal().split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return str(claims["sub"]) if len(parts) == 3 else ""
    except (ValueError, IndexError, KeyError, TypeError):
        return ""
