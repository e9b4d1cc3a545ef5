"""JSON Schemas of the session routes. Loaded only to describe the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from donmai_daemon.control.schemas import ANYTHING, array, closed, kind, moment, one_of, record, without
from donmai_daemon.control.sessions import MAX_DRAIN_SECONDS
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.session import SessionState

_HANDLE = record(
    sessionId=kind("string"),
    state=one_of(get_args(SessionState)),
    projectId=kind("string"),
    acceptedAt=moment(),
    pid=kind("integer", nullable=True),
    outcome=one_of(("completed", "failed", "stopped"), nullable=True),
    interactive=kind("boolean"),
)

SCHEMAS: Mapping[str, JsonObject] = {
    "Sessions": record(sessions=array(_HANDLE)),
    "SessionAccepted": record(
        sessionId=kind("string"),
        acceptedAt=moment(),
        state=one_of(get_args(SessionState)),
        pid=kind("integer", nullable=True),
    ),
    "SessionWork": without(
        record(sessionId=kind("string"), projectId=kind("string"), repository=kind("string"), ref=kind("string")),
        "projectId",
        "repository",
        "ref",
    ),
    "Drain": record(ok={"const": True}, message=kind("string")),
    "DrainRequest": closed(
        without(
            record(timeoutSeconds={"type": "number", "minimum": 0, "maximum": MAX_DRAIN_SECONDS}), "timeoutSeconds"
        )
    ),
    "SessionDetail": ANYTHING,
    "SessionStop": closed(without(record(reason=kind("string")), "reason")),
    "SessionStopped": without(
        record(
            sessionId=kind("string"),
            stopped=kind("boolean"),
            mode=one_of(("terminated", "killed", "already_ended")),
            reason=kind("string"),
        ),
        "mode",
        "reason",
    ),
}
