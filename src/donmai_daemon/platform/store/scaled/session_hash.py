"""A session as a Redis hash: texts, numbers in decimal, what is None left out."""

from __future__ import annotations

from collections.abc import Mapping

from donmai_daemon.platform.records.work import SessionRecord
from donmai_daemon.platform.store.codec import Value, session_record
from donmai_daemon.platform.store.values import new_session_values, session_values

_NUMBERS = {
    "queued", "priority", "queued_at", "lease_until", "stop_requested", "nacks", "exit_code", "ended_at"
}  # fmt: skip
_TEXTS = {
    "id", "org_id", "project_id", "status", "created_by", "worker_id", "host_id", "claim_id", "refusal", "error", "summary"
}  # fmt: skip


def encoded(session: SessionRecord) -> dict[str, str]:
    """The fields that are set."""
    values = session_values(session) | new_session_values(session)
    return {name: str(value) for name, value in values.items() if value is not None}


def decoded(fields: Mapping[str, str]) -> SessionRecord:
    """The session of a whole hash."""
    row: dict[str, Value] = {name: fields.get(name) for name in _TEXTS}
    row |= {name: int(fields[name]) if name in fields else None for name in _NUMBERS}
    return session_record(row)
