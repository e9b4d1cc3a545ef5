"""What requests must hold, as JSON Schema: the API description shows these very objects."""

from __future__ import annotations

from donmai_daemon.model.json import Json, JsonObject

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
ENQUEUE = record(
    {"workerHostId": text(least=1), "op": text(least=1), "params": {"type": "object"}},
    {"notBefore": {"type": ["string", "null"], "format": "date-time", "maxLength": 64}},
)
CREATE_KEY = record(
    {"role": {"type": "string", "enum": ["owner", "admin", "member", "worker"]}}, {"name": optional(text())}
)
