"""Parameters of the operations in the host lane: their effects are not edits of the file."""

from __future__ import annotations

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.params import Fields


def read_pool_deleted(fields: Fields) -> JsonObject:
    values: JsonObject = {"poolId": fields.text("poolId")}
    candidates = fields.optional_texts("candidatePoolIds")
    if candidates is not None:
        listed: list[Json] = [*candidates]
        values["candidatePoolIds"] = listed
    return values | _reason(fields)


def read_session_kill(fields: Fields) -> JsonObject:
    return {"sessionId": fields.text("sessionId")} | _reason(fields)


def _reason(fields: Fields) -> JsonObject:
    reason = fields.optional_text("reason")
    return {} if reason is None else {"reason": reason}
