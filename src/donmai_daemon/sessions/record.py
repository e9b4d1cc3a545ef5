"""What the daemon remembers of each session, on disk before it acts, so that a restart neither starts one twice nor
forgets one.

    claimed → starting → running → ended → reported        refused → (gone once the platform knows)

The states answer one question each after a crash. `claimed`, `starting`: nothing of the agent has begun, because the
runner waits until its process id is on disk (`spawner`), so it can be started again. `running`: look for that
process. `ended`: the platform must still be told. `reported`: only remembered, for a kill that comes late.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, cast

import structlog

from donmai_daemon.model.json import Json, JsonObject, int_or_none, text_or_none
from donmai_daemon.model.session import SessionState
from donmai_daemon.sessions.processes import ProcessId
from donmai_daemon.sessions.work import is_session_id
from donmai_daemon.store.atomic import write_private

Outcome: TypeAlias = Literal["completed", "failed", "stopped"]
SessionOrigin: TypeAlias = Literal["platform", "local"]

LIVE: frozenset[SessionState] = frozenset({"claimed", "starting", "running"})
"""The states in which a session takes a place of the host's capacity."""

KEPT = 200
"""How many reported sessions are remembered."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session. Times are RFC 3339. `detail` is what its runner is given, without credentials; {} once it has ended.

    `worker_id` is who claimed it: reports are made in that name, also after a new registration. `mark` tells its
    processes from all others. `token_digest` is the SHA-256 hex of its read token. `boot` is the boot in which
    `process` was started. `reason` is why it was refused or stopped.
    """

    session_id: str
    state: SessionState
    accepted_at: str
    origin: SessionOrigin = "platform"
    worker_id: str = ""
    claim_id: str | None = None
    project_id: str = ""
    interactive: bool = False
    mark: str = ""
    token_digest: str = ""
    process: ProcessId | None = None
    boot: str = ""
    outcome: Outcome | None = None
    exit_code: int | None = None
    reason: str | None = None
    error: str | None = None
    ended_at: str | None = None
    detail: JsonObject = field(default_factory=dict, repr=False)

    def ended(
        self, outcome: Outcome, ended_at: str, exit_code: int | None = None, error: str | None = None
    ) -> SessionRecord:
        """The same session after its end, without its detail."""
        return replace(
            self, state="ended", outcome=outcome, ended_at=ended_at, exit_code=exit_code, error=error, detail={}, token_digest=""
        )  # fmt: skip

    def to_json(self) -> JsonObject:
        body: JsonObject = {name: getattr(self, name) for name in self.__slots__ if name != "process"}
        body["process"] = None if self.process is None else list(self.process)
        return body

    @classmethod
    def from_json(cls, body: Json) -> SessionRecord:
        """Raises `ValueError` where `body` is no record."""
        if not isinstance(body, dict):
            raise ValueError("not an object")
        texts = {name: text_or_none(body, name) for name in ("session_id", "state", "accepted_at")}
        if None in texts.values():
            raise ValueError("a field is missing")
        process = body.get("process")
        detail = body.get("detail")
        return cls(
            session_id=texts["session_id"] or "",
            state=cast("SessionState", texts["state"]),
            accepted_at=texts["accepted_at"] or "",
            origin="local" if body.get("origin") == "local" else "platform",
            worker_id=text_or_none(body, "worker_id") or "",
            claim_id=text_or_none(body, "claim_id"),
            project_id=text_or_none(body, "project_id") or "",
            interactive=body.get("interactive") is True,
            mark=text_or_none(body, "mark") or "",
            token_digest=text_or_none(body, "token_digest") or "",
            process=_process(process),
            boot=text_or_none(body, "boot") or "",
            outcome=cast("Outcome | None", text_or_none(body, "outcome")),
            exit_code=int_or_none(body, "exit_code"),
            reason=text_or_none(body, "reason"),
            error=text_or_none(body, "error"),
            ended_at=text_or_none(body, "ended_at"),
            detail=detail if isinstance(detail, dict) else {},
        )


def _process(value: Json) -> ProcessId | None:
    if isinstance(value, list) and len(value) == 2:
        pid, start = value
        if isinstance(pid, int) and isinstance(start, int):
            return ProcessId(pid, start)
    return None


class RecordStore:
    """One private file a session in `directory`, replaced atomically. Blocking; used from the store thread only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = structlog.get_logger("sessions.records")

    def load(self) -> list[SessionRecord]:
        """Every record, oldest first. One that cannot be read is set aside under another name, and said so."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        records: list[SessionRecord] = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                records.append(SessionRecord.from_json(json.loads(path.read_bytes())))
            except (ValueError, OSError) as error:
                self._log.error("sessions.record_unreadable", file=path.name, reason=type(error).__name__)
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".unreadable"))
        return sorted(records, key=lambda record: record.accepted_at)

    def save(self, record: SessionRecord) -> None:
        """On disk when this returns. Raises `OSError`."""
        data = json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":")).encode()
        write_private(self._path(record.session_id), data)

    def forget(self, session_id: str) -> None:
        """Remove a record. One that stays, because the disk says so, is told to the platform once more: no harm."""
        try:
            self._path(session_id).unlink(missing_ok=True)
        except OSError as error:
            self._log.warning("sessions.record_not_removed", session=session_id, reason=error.strerror)

    def prune(self, reported: Iterable[SessionRecord]) -> list[SessionRecord]:
        """Forget all but the newest `KEPT` of `reported`; returns what was forgotten."""
        old = sorted(reported, key=lambda record: record.ended_at or record.accepted_at)[:-KEPT]
        for record in old:
            self.forget(record.session_id)
        return old

    def _path(self, session_id: str) -> Path:
        # A refused item may have a name that no file should have.
        safe = (
            session_id if is_session_id(session_id) else "sha256-" + hashlib.sha256(session_id.encode()).hexdigest()
        )
        return self.directory / f"{safe}.json"
