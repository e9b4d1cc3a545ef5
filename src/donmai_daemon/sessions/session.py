"""One session's life on this host, from claim to report. Every step is on disk before the next begins."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, TypeVarTuple, Unpack, cast

import anyio
import structlog

from donmai_daemon.clock import Clock, rfc3339
from donmai_daemon.model.config import Config
from donmai_daemon.model.json import JsonObject, text_or_none
from donmai_daemon.sessions.ending import TERM_SECONDS, How, end, sweep
from donmai_daemon.sessions.processes import boot_id, is_running, wait_ended
from donmai_daemon.sessions.record import Outcome, RecordStore, SessionRecord
from donmai_daemon.sessions.spawner import Spawned, Spawner, reap

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MAX_ERROR = 512


class Blocking(Protocol):
    """Runs blocking calls one at a time, in order; a call that has begun is always waited for."""

    async def run(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T: ...


@dataclass(frozen=True, slots=True)
class SessionTools:
    """What every session works with. `daemon_url` is the bound address, read when a runner is started."""

    records: RecordStore
    spawner: Spawner
    store: Blocking
    clock: Clock
    daemon_url: Callable[[], str]
    on_change: Callable[[SessionRecord], None]
    term_seconds: float = TERM_SECONDS


class Session:
    """Holds the record of one session and moves it on. `ended` is set once its processes are gone and that is on disk."""

    def __init__(self, record: SessionRecord, tools: SessionTools) -> None:
        self.record = record
        self.ended = anyio.Event()
        self.stop_reason: str | None = None
        self.how: How | None = None
        self._tools = tools
        self._log = structlog.get_logger("sessions").bind(session=record.session_id)

    async def save(self, record: SessionRecord) -> None:
        """Raises `OSError`; then nothing has changed."""
        await self._tools.store.run(self._tools.records.save, record)
        self.record = record
        self._tools.on_change(record)

    async def start(self, config: Config) -> None:
        """claimed → starting → running. Raises `OSError`; then nothing runs and the record says `claimed` or `starting`."""
        token = secrets.token_hex(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        await self.save(replace(self.record, state="starting", mark=secrets.token_hex(16), token_digest=digest))
        spawned = await self._tools.store.run(self._spawn, token, config)
        try:
            await self.save(replace(self.record, state="running", process=spawned.process, boot=boot_id()))
        except BaseException:
            # On disk the session has not begun, so its runner must not begin either.
            spawned.abandon()
            raise
        spawned.open_gate()
        self._log.info("session.started", pid=spawned.process.pid, project=self.record.project_id)

    def _spawn(self, token: str, config: Config) -> Spawned:
        return self._tools.spawner.spawn(
            self.record.session_id,
            mark=self.record.mark,
            read_token=token,
            daemon_url=self._tools.daemon_url(),
            config=config,
        )

    @property
    def adoptable(self) -> bool:
        """Whether the process that the record names still runs."""
        process = self.record.process
        return process is not None and self.record.boot == boot_id() and is_running(process)

    async def watch(self) -> None:
        """Wait for the end of the runner, end what it left behind, put the outcome on disk."""
        process = self.record.process
        if process is not None and self.record.boot == boot_id():
            await wait_ended(process)
        code = reap(process) if process is not None else None
        with anyio.CancelScope(shield=True):
            # Bounded, and not to be interrupted: a half-swept session would leave its agent running unknown.
            left = await sweep(process if self.record.boot == boot_id() else None, self.record.mark)
        outcome, error = self._outcome(await self._tools.store.run(self._result), code)
        now = rfc3339(self._tools.clock.now())
        await self._save_end(self.record.ended(outcome, now, code, error))
        self._log.info("session.ended", outcome=outcome, exit_code=code, left_behind=left, reason=error)
        self.ended.set()

    async def stop(self, reason: str) -> How:
        """TERM, then KILL of everything; returns when all of it is gone and the outcome is on disk. Twice is fine."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self._log.info("session.stopping", reason=reason)
        process = self.record.process
        if process is not None and not self.ended.is_set():
            await self._tools.store.run(
                self._tools.spawner.leave_reason, self.record.session_id, self.stop_reason[:_MAX_ERROR]
            )
            self.how = await end(process, self.record.mark, self._tools.term_seconds)
        await self.ended.wait()
        return self.how or "terminated"

    async def _save_end(self, record: SessionRecord) -> None:
        """Memory knows the end even where the disk does not take it: the next daemon will see that nothing runs."""
        try:
            await self.save(record)
        except OSError as error:
            self._log.error("session.record_not_saved", reason=error.strerror)
            self.record = record
            self._tools.on_change(record)

    def _result(self) -> JsonObject:
        """The runner's own words on how it ended; {} where it found none."""
        for line in reversed(self._tools.spawner.result_line(self.record.session_id).splitlines()):
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    return value
        return {}

    def _outcome(self, result: JsonObject, code: int | None) -> tuple[Outcome, str | None]:
        status = result.get("status")
        error = text_or_none(result, "error")
        if status in {"completed", "failed", "stopped"}:
            return cast("Outcome", status), error[:_MAX_ERROR] if error else None
        if self.stop_reason is not None:
            return "stopped", self.stop_reason[:_MAX_ERROR]
        if code is None:
            return "failed", "the session's runner, started before the daemon was, ended without a result"
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return "failed", f"the session's runner ended {how} without a result"
