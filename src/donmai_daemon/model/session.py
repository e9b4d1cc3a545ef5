"""Sessions as the control API shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from donmai_daemon.model.json import JsonObject

SessionState: TypeAlias = Literal["claimed", "starting", "running", "ended", "reported", "refused"]
RefusalCode: TypeAlias = Literal[
    "not_accepting",
    "project_not_allowed",
    "repository_not_allowed",
    "access_denied",
    "at_capacity",
    "duplicate_session",
    "start_failed",
    "invalid_work",
]


@dataclass(frozen=True, slots=True)
class SessionHandle:
    """One session. `accepted_at` is RFC 3339; `pid` None: its runner has not been started, or has ended."""

    session_id: str
    state: SessionState
    project_id: str
    accepted_at: str
    pid: int | None
    outcome: str | None
    interactive: bool

    def to_json(self) -> JsonObject:
        return {
            "sessionId": self.session_id,
            "state": self.state,
            "projectId": self.project_id,
            "acceptedAt": self.accepted_at,
            "pid": self.pid,
            "outcome": self.outcome,
            "interactive": self.interactive,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why work does not run here. `reason` is one sentence for a person, without secrets or local paths."""

    code: RefusalCode
    reason: str


@dataclass(frozen=True, slots=True)
class StopReport:
    """What became of a request to stop a session. `mode`: how it ended, None where it has not (`reason` says why)."""

    session_id: str
    mode: Literal["terminated", "killed", "already_ended"] | None
    reason: str | None = None

    def to_json(self) -> JsonObject:
        told: JsonObject = {"sessionId": self.session_id, "stopped": self.mode is not None}
        return told | ({"mode": self.mode} if self.mode is not None else {"reason": self.reason})
