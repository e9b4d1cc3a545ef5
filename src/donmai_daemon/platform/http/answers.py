"""What requests are answered with, as JSON Schema, for the API description and the tests that hold us to it."""

from __future__ import annotations

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.http.bodies import record
from donmai_daemon.platform.records.keys import ROLES
from donmai_daemon.platform.records.work import STATUSES

_TEXT: JsonObject = {"type": "string"}
_MAYBE_TEXT: JsonObject = {"type": ["string", "null"]}
_COUNT: JsonObject = {"type": "integer", "minimum": 0}
_FLAG: JsonObject = {"type": "boolean"}
_TIME: JsonObject = {"type": "string", "format": "date-time"}
_OBJECT: JsonObject = {"type": "object"}


def _list_of(items: JsonObject) -> JsonObject:
    return {"type": "array", "items": items}


def _one_of(*values: str) -> JsonObject:
    listed: list[Json] = [*values]
    return {"type": "string", "enum": listed}


ERROR = record({"error": _TEXT})
OK = record({"ok": _FLAG})

_INTERVALS: dict[str, Json] = {"heartbeatInterval": _COUNT, "pollInterval": _COUNT}
_TOKEN: dict[str, Json] = {"runtimeToken": _TEXT, "runtimeTokenExpiresAt": _TIME}
_WORKER: dict[str, Json] = {"workerId": _TEXT, "workerHostId": _TEXT, "heldBeats": _FLAG}
REGISTERED = record(_WORKER | _TOKEN | _INTERVALS)
REGISTERED_V1 = record(
    _WORKER
    | {
        "runtimeJwt": _TEXT,
        "runtimeTokenExpiresAt": _TIME,
        "heartbeatIntervalSeconds": _COUNT,
        "pollIntervalSeconds": _COUNT,
    }
)
REFRESHED = record(_TOKEN | {"expiresAt": _TIME} | _INTERVALS)

_HOST_STATUS = record({"status": _TEXT}, {"recommendedAction": _TEXT, "candidatePoolIds": _list_of(_TEXT)})
BEAT_ANSWER = record(
    {
        "acknowledged": {"type": "boolean", "enum": [True]},
        "serverTime": _TIME,
        "pendingWorkCount": _COUNT,
        "hostStatus": _HOST_STATUS,
        "pendingMutations": _list_of(
            record({"id": _TEXT, "op": _TEXT, "params": _OBJECT, "requestedAt": _TIME, "requestedBy": _TEXT})
        ),
        "heldBeats": _FLAG,
    }
)

MUTATION = record(
    {
        "id": _TEXT,
        "orgId": _TEXT,
        "workerHostId": _TEXT,
        "op": _TEXT,
        "params": _OBJECT,
        "status": _one_of("pending", "delivered", "applied", "failed", "cancelled"),
        "requestedBy": _TEXT,
        "createdAt": _TIME,
    },
    {
        "deliveredAt": _TIME,
        "cancelledAt": _TIME,
        "settledAt": _TIME,
        "notBefore": _TIME,
        "error": _TEXT,
        "undoes": _TEXT,
    },
)
MUTATION_ANSWER = record({"mutation": MUTATION})
MUTATIONS = record({"mutations": _list_of(MUTATION)})
MUTATION_TRAIL = record(
    {
        "mutation": MUTATION,
        "trail": _list_of(record({"at": _TIME, "by": _TEXT, "from": _MAYBE_TEXT, "to": _TEXT})),
    }
)
CANCELLED = record({"cancelled": {"type": "boolean", "enum": [True]}})
NOT_CANCELLED = record(
    {
        "cancelled": {"type": "boolean", "enum": [False]},
        "reason": _one_of("already_delivered", "already_cancelled"),
    }
)
HOSTS = record(
    {
        "hosts": _list_of(
            record(
                {
                    "workerHostId": _TEXT,
                    "orgId": _TEXT,
                    "machineId": _TEXT,
                    "hostname": _TEXT,
                    "region": _MAYBE_TEXT,
                    "workerId": _TEXT,
                    "status": _one_of("online", "stale", "offline"),
                    "lastSeenAt": _TIME,
                    "version": _MAYBE_TEXT,
                    "activeCount": _COUNT,
                    "maxSessions": _COUNT,
                    "dispatchStatus": _MAYBE_TEXT,
                    "load": _OBJECT,
                    "hostStatus": _HOST_STATUS,
                    "projectAdmissionMode": _MAYBE_TEXT,
                    "enabledProjectIds": {"type": ["array", "null"], "items": _TEXT},
                    "allowlistHash": _MAYBE_TEXT,
                    "configDigest": _MAYBE_TEXT,
                    "conditions": _list_of(_OBJECT),
                    "pendingMutations": _COUNT,
                }
            )
        )
    }
)
NEW_KEY = record(
    {
        "key": record(
            {
                "id": _TEXT,
                "fullKey": _TEXT,
                "keyPrefix": _TEXT,
                "orgId": _TEXT,
                "role": _one_of(*ROLES),
                "name": _MAYBE_TEXT,
                "createdAt": _TIME,
                "createdBy": _TEXT,
                "revokedAt": {"type": ["string", "null"]},
            }
        )
    }
)

_STATUS = _one_of(*STATUSES)
QUEUED = record({"sessionId": _TEXT})
REQUEUED = record({"requeued": _FLAG})
LOCK = record({"refreshed": _FLAG}, {"stop": _FLAG})
MOVED = record({"status": _STATUS, "workerId": _TEXT, "claimId": _TEXT})
SESSION_CONFLICT = record(
    {"error": _TEXT, "code": _TEXT, "status": _STATUS, "workerId": _MAYBE_TEXT, "claimId": _MAYBE_TEXT}
)
SESSION = record(
    {
        "sessionId": _TEXT,
        "organizationId": _TEXT,
        "projectId": _TEXT,
        "status": _STATUS,
        "priority": _COUNT,
        "queuedAt": _TIME,
        "workerId": _MAYBE_TEXT,
        "claimId": _MAYBE_TEXT,
        "stopRequested": _FLAG,
        "nacks": _COUNT,
    },
    {"lastRefusal": _TEXT, "error": _TEXT, "summary": _TEXT, "exitCode": {"type": "integer"}, "endedAt": _TIME},
)
ACTIVITIES = record({"activities": _list_of(record({"at": _TIME, "type": _TEXT, "content": _TEXT}))})
POLLED = record(
    {
        "work": _list_of(
            record(
                {
                    "sessionId": _TEXT,
                    "organizationId": _TEXT,
                    "projectId": _TEXT,
                    "queuedAt": _COUNT,
                    "claimId": _TEXT,
                }
            )
        ),
        "hasInboxMessages": _FLAG,
        "inboxMessages": {"type": "array"},
        "preClaimed": _FLAG,
        "claimedSessionIds": _list_of(_TEXT),
    }
)
DETAIL = record(
    {"sessionId": _TEXT, "workerId": _TEXT, "authToken": _TEXT, "platformUrl": _TEXT},
    {"organizationId": _TEXT, "projectId": _TEXT, "queuedAt": _COUNT, "claimId": _TEXT},
)
