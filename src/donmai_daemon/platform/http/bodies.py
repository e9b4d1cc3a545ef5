"""What requests must hold, as JSON Schema: the API description shows these very objects."""

from __future__ import annotations

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.registry import remote_operations
from donmai_daemon.platform.http.schema import check
from donmai_daemon.platform.records.work import STATUSES

MAX_TEXT = 512
_PRINTABLE = r"^[^\u0000-\u001f\u007f]*$"


def text(*, least: int = 0, most: int = MAX_TEXT) -> JsonObject:
    """A text of one line."""
    schema: JsonObject = {"type": "string", "maxLength": most, "pattern": _PRINTABLE}
    return schema | {"minLength": least} if least else schema


def optional(schema: JsonObject) -> JsonObject:
    """The same, or null."""
    kinds = schema["type"]
    return schema | {"type": [*(kinds if isinstance(kinds, list) else [kinds]), "null"]}


def record(required: dict[str, Json], maybe: dict[str, Json] | None = None) -> JsonObject:
    """An object with these fields, and any others."""
    names: list[Json] = list(required)
    return {"type": "object", "required": names, "properties": {**required, **(maybe or {})}}


_TEXTS: JsonObject = {"type": "array", "items": text(), "maxItems": 10_000}
_ENTRY = record({"id": text(least=1), "repository": {"type": "string", "maxLength": 4096}})
_COUNT: JsonObject = {"type": "integer", "minimum": 0, "maximum": 1_000_000}

REGISTER = record(
    {"hostname": text(least=1), "capacity": _COUNT},
    {
        "version": optional(text()),
        "machineId": optional(text()),
        "region": optional(text()),
        "hostInfo": {"type": ["object", "null"]},
        "capabilities": optional(_TEXTS),
        "projectAdmissionVersion": optional(_COUNT),
        "projectAdmissionMode": optional(text()),
        "projectIds": optional(_TEXTS),
        "daemonProjects": {"type": ["array", "null"], "items": _ENTRY, "maxItems": 100_000},
    },
)
REGISTER_V1 = record(
    {"registrationToken": text(least=1), "hostname": text(least=1), "maxAgents": _COUNT | {"minimum": 1}},
    {
        "version": optional(text()),
        "machineId": optional(text()),
        "region": optional(text()),
        "capabilities": optional(_TEXTS),
        "activeAgentCount": optional(_COUNT),
        "status": optional(text()),
    },
)
ANYTHING: JsonObject = {"type": "object"}
HEARTBEAT: JsonObject = {
    "type": "object",
    "description": "Read leniently: what is not as described here is passed over and logged, and never refused.",
    "properties": {
        "status": {"description": "idle, busy or draining"},
        "activeCount": {"description": "sessions running"},
        "activeInteractiveCount": {"description": "those of them that are interactive"},
        "maxSessions": {"description": "most sessions at once; 0 takes no work"},
        "load": {"description": "cpu and memory in percent"},
        "loadAverage": {"description": "over one, five and fifteen minutes"},
        "allowlistHash": {"description": "digest of the admission report"},
        "seq": {"description": "counts up per boot"},
        "allowlist": {"description": "full report: every id and repository"},
        "enabledProjectIds": {"description": "full report: enabled projects"},
        "projectAdmissionMode": {"description": "full report: enumerated or all-routed"},
        "appliedMutations": {"description": "ids of mutations that were applied"},
        "mutationFailures": {"description": "ids and errors of mutations that failed"},
        "conditions": {"description": "what is wrong now: code, severity, message, since"},
        "configDigest": {"description": "SHA-256 of the configuration file"},
    },
}
HEARTBEAT_V1 = record({"workerId": text(least=1)})
ENQUEUE = record(
    {
        "workerHostId": text(least=1),
        "op": {"type": "string", "enum": [*remote_operations()]},
        "params": {"type": "object", "description": "checked as the daemon checks them"},
    },
    {"notBefore": {"type": ["string", "null"], "format": "date-time", "maxLength": 64}},
)
CREATE_KEY = record(
    {"role": {"type": "string", "enum": ["owner", "admin", "member", "worker"]}}, {"name": optional(text())}
)

_OBJECT: JsonObject = {"type": ["object", "null"]}
_LIST: JsonObject = {"type": ["array", "null"], "maxItems": 10_000}
_PROSE: JsonObject = {"type": ["string", "null"]}
WORK_ITEM_FIELDS: JsonObject = {
    "repositoryId": optional(text()),
    "projectName": optional(text()),
    "repository": optional(text(most=4096)),
    "requiresRepository": {"type": ["boolean", "null"]},
    "ref": optional(text()),
    "branch": optional(text()),
    "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 1000},
    "issueId": optional(text()),
    "issueIdentifier": optional(text()),
    "title": _PROSE,
    "body": _PROSE,
    "prompt": _PROSE,
    "promptContext": {"type": ["object", "string", "null"]},
    "systemPromptOverride": _PROSE,
    "workType": optional(text()),
    "resolvedProfile": _OBJECT,
    "stageBudget": _OBJECT,
    "env": _OBJECT,
    "mode": optional(text()),
    "kits": _LIST,
    "allowedTools": _LIST,
    "disallowedTools": _LIST,
    "mcpServers": _LIST,
    "traceparent": optional(text()),
}
"""What a session may be given beside its project; each goes to the daemon as it came, and null is as good as nothing."""

QUEUE_SESSION = record({"projectId": text(least=1)}, WORK_ITEM_FIELDS)


def work_item(body: JsonObject) -> JsonObject:
    """What a session is given, out of the body of `POST /api/sessions`. Raises `RequestRefused`."""
    check(QUEUE_SESSION, body)
    return {name: body[name] for name in ("projectId", *WORK_ITEM_FIELDS) if body.get(name) is not None}


_WORKER: dict[str, Json] = {"workerId": text(least=1)}
_CLAIM: dict[str, Json] = {"claimId": optional(text(least=1))}
SESSION_STATUS = record(
    _WORKER | {"status": {"type": "string", "enum": list(STATUSES)}},
    _CLAIM
    | {
        "error": _PROSE,
        "exitCode": {"type": ["integer", "null"], "minimum": -(2**31), "maximum": 2**31 - 1},
    },
)
NACK = record(_WORKER | {"reason": {"type": "string"}}, _CLAIM | {"work": {}})
LOCK_REFRESH = record(_WORKER, _CLAIM | {"issueId": optional(text())})
ACTIVITY = record(
    _WORKER
    | {
        "activity": record(
            {
                "type": {"type": "string", "enum": ["thought", "action", "response", "error"]},
                "content": {"type": "string"},
            }
        )
    },
    _CLAIM,
)
COMPLETION = record(_WORKER | {"summary": {"type": "string"}}, _CLAIM)
