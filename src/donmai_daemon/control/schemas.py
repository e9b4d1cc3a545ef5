"""JSON Schemas of the daemon's own answers and requests. Loaded only to describe the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from donmai_daemon.model.condition import ConditionCode, Severity
from donmai_daemon.model.config import AdmissionMode
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import Lane, MutationState, Origin, Outcome
from donmai_daemon.model.status import LifecycleState

ANYTHING: JsonObject = {"type": "object", "additionalProperties": True}


def one_of(values: Sequence[Json], *, nullable: bool = False) -> JsonObject:
    """One of some strings, or null."""
    return {"enum": [*values, None]} if nullable else {"type": "string", "enum": list(values)}


def kind(name: str, *, nullable: bool = False) -> JsonObject:
    """A value of one JSON type, or null."""
    return {"type": [name, "null"]} if nullable else {"type": name}


def moment(*, nullable: bool = False) -> JsonObject:
    """An RFC 3339 time."""
    return {**kind("string", nullable=nullable), "format": "date-time"}


def array(items: JsonObject) -> JsonObject:
    """A list."""
    return {"type": "array", "items": items}


def record(**properties: JsonObject) -> JsonObject:
    """An object. Every property is there; more may come, since additions are compatible."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def without(described: JsonObject, *optional: str) -> JsonObject:
    """A record whose named properties need not be there."""
    required = described["required"]
    assert isinstance(required, list)
    return {**described, "required": [name for name in required if name not in optional]}


def closed(described: JsonObject) -> JsonObject:
    """A record that has no other properties, as requests are."""
    return {**described, "additionalProperties": False}


_COUNT: JsonObject = {"type": "integer", "minimum": 0}
_IDS = array(kind("string"))

_CONDITION = record(
    code=one_of(get_args(ConditionCode)),
    severity=one_of(get_args(Severity)),
    message=kind("string"),
    since=moment(),
)

_HOST_STATUS: JsonObject = {
    "type": ["object", "null"],
    "properties": {
        "status": kind("string"),
        "recommendedAction": kind("string"),
        "candidatePoolIds": _IDS,
    },
    "required": ["status"],
}

_BEAT: dict[str, JsonObject] = {
    "intervalSeconds": kind("number"),
    "lastSentAt": moment(nullable=True),
    "lastAcceptedAt": moment(nullable=True),
    "lastError": kind("string", nullable=True),
    "consecutiveFailures": _COUNT,
}

_ADMISSION: dict[str, JsonObject] = {
    "projectAdmissionVersion": {"const": 2},
    "projectAdmissionMode": one_of(get_args(AdmissionMode)),
    "enabledProjectIds": _IDS,
    "appliedProjectIds": _IDS,
}

_MUTATION = record(
    id=kind("string"),
    op=kind("string"),
    params=ANYTHING,
    requestedAt=kind("string", nullable=True),
    requestedBy=kind("string", nullable=True),
    origin=one_of(get_args(Origin)),
    lane=one_of(get_args(Lane)),
    state=one_of(get_args(MutationState)),
    outcome=one_of(get_args(Outcome), nullable=True),
    changed=kind("boolean"),
    error=kind("string", nullable=True),
    diff=kind("string", nullable=True),
    receivedAt=moment(),
    settledAt=moment(nullable=True),
    ackedAt=moment(nullable=True),
)

SCHEMAS: Mapping[str, JsonObject] = {
    "Status": record(
        status=one_of(get_args(LifecycleState)),
        version=kind("string"),
        machineId=kind("string"),
        workerId=kind("string", nullable=True),
        pid=_COUNT,
        uptimeSeconds=kind("number"),
        activeSessions=_COUNT,
        maxSessions=_COUNT,
        projectsAllowed=_COUNT,
        projects=array(record(projectId=kind("string"), enabled=kind("boolean"), repositories=_IDS)),
        hostStatus=_HOST_STATUS,
        heartbeat=record(**_BEAT),
        mutations=record(pending=_COUNT, review=_COUNT, unsentAcks=_COUNT),
        conditions=array(_CONDITION),
        config=record(path=kind("string"), digest=kind("string", nullable=True), valid=kind("boolean")),
        timestamp=moment(),
        **_ADMISSION,
    ),
    "Stats": record(
        capacity=record(maxConcurrentSessions=_COUNT, availableSessions=_COUNT),
        activeSessions=_COUNT,
        queueDepth=_COUNT,
        workerId=kind("string", nullable=True),
        registration=record(
            status=one_of(["registered", "unregistered", "unconfigured"]),
            lastHeartbeatAt=moment(nullable=True),
            heartbeatRunning=kind("boolean"),
            pollRunning=kind("boolean"),
        ),
        allowedProjects=array(kind("string")),
        timestamp=moment(),
        **_ADMISSION,
    ),
    "Heartbeat": record(
        lastBody=kind("object", nullable=True),
        lastAnswer=kind("object", nullable=True),
        **_BEAT,
    ),
    "Settings": record(
        settings=ANYTHING,
        sources={"type": "object", "additionalProperties": kind("string")},
        warnings=array(kind("string")),
    ),
    "Doctor": record(
        ok=kind("boolean"),
        checks=array(
            record(
                name=kind("string"),
                ok=kind("boolean"),
                severity=one_of(get_args(Severity)),
                detail=kind("string"),
                hint=kind("string", nullable=True),
            )
        ),
    ),
    "Mutation": _MUTATION,
    "Mutations": record(mutations=array({"$ref": "#/components/schemas/Mutation"})),
    "Submission": closed(
        without(record(op=kind("string"), params=ANYTHING, dryRun={"type": "boolean", "default": False}), "dryRun")
    ),
    "Preview": without(
        record(outcome=one_of(get_args(Outcome)), diff=kind("string", nullable=True), error=kind("string")), "error"
    ),
    "CapacityChange": closed(record(key=kind("string"), value={})),
    "Done": record(ok={"const": True}, message=kind("string")),
    "OpenApi": record(openapi=kind("string"), info=ANYTHING, paths=ANYTHING, components=ANYTHING),
}
