"""Between rows and records, for every store: times are stored as integers of milliseconds, structured values as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, cast

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.records.hosts import AdmissionRecord, HostRecord, Liveness, WorkerRecord
from donmai_daemon.platform.records.keys import KeyRecord, Role, SigningKey
from donmai_daemon.platform.records.mutations import CancelOutcome, MutationRecord, MutationStatus, Transition
from donmai_daemon.platform.records.work import SessionRecord, SessionStatus

Value: TypeAlias = str | int | None
Row: TypeAlias = Mapping[str, Value]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(moment: datetime) -> int:
    """`moment` as it is stored."""
    return (moment - _EPOCH) // _MILLISECOND


def optional_milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)


def moment(stored: object) -> datetime:
    """A stored time."""
    return _EPOCH + timedelta(milliseconds=cast("int", stored))


def optional_moment(stored: object) -> datetime | None:
    return None if stored is None else moment(stored)


def dump(value: Json) -> str:
    """Compact JSON in ASCII."""
    return json.dumps(value, separators=(",", ":"))


def load(stored: object) -> JsonObject:
    """A stored JSON object."""
    return cast("JsonObject", json.loads(cast("str", stored)))


def text(row: Row, name: str) -> str:
    return cast("str", row[name])


def optional_text(row: Row, name: str) -> str | None:
    return cast("str | None", row[name])


def integer(row: Row, name: str) -> int:
    return cast("int", row[name])


def key_record(row: Row) -> KeyRecord:
    return KeyRecord(
        id=text(row, "id"),
        org_id=text(row, "org_id"),
        role=cast("Role", row["role"]),
        name=optional_text(row, "name"),
        prefix=text(row, "prefix"),
        created_at=moment(row["created_at"]),
        created_by=text(row, "created_by"),
        revoked_at=optional_moment(row["revoked_at"]),
    )


def signing_key(row: Row) -> SigningKey:
    return SigningKey(
        id=text(row, "id"),
        secret=Secret(text(row, "secret")),
        created_at=moment(row["created_at"]),
        retired_at=optional_moment(row["retired_at"]),
        verify_until=optional_moment(row["verify_until"]),
    )


def worker_record(row: Row) -> WorkerRecord:
    return WorkerRecord(
        id=text(row, "id"),
        host_id=text(row, "host_id"),
        org_id=text(row, "org_id"),
        key_id=text(row, "key_id"),
        current=bool(row["current"]),
        key_revoked=bool(row["key_revoked"]),
    )


def host_record(row: Row) -> HostRecord:
    return HostRecord(
        id=text(row, "id"),
        org_id=text(row, "org_id"),
        machine_id=text(row, "machine_id"),
        hostname=text(row, "hostname"),
        version=optional_text(row, "version"),
        region=optional_text(row, "region"),
        capacity=integer(row, "capacity"),
        worker_id=text(row, "worker_id"),
        status=host_status(text(row, "status")),
        admission=admission(optional_text(row, "admission_digest"), optional_text(row, "admission")),
        registered_at=moment(row["registered_at"]),
        open_mutations=integer(row, "open_mutations"),
    )


def host_status(stored: str) -> HostStatus:
    value = load(stored)
    return HostStatus(
        cast("str", value["status"]),
        cast("str | None", value.get("recommendedAction")),
        tuple(cast("list[str]", value.get("candidatePoolIds") or [])),
    )


def admission(digest: str | None, stored: str | None) -> AdmissionRecord | None:
    if stored is None:
        return None
    value = load(stored)
    enabled = cast("list[str] | None", value["enabled"])
    return AdmissionRecord(
        digest=digest or "",
        mode=cast("str | None", value["mode"]),
        enabled_ids=None if enabled is None else tuple(enabled),
        allowlist=tuple((project, url) for project, url in cast("list[tuple[str, str]]", value["allowlist"])),
    )


def stored_admission(record: AdmissionRecord) -> str:
    enabled: list[Json] | None = None if record.enabled_ids is None else list(record.enabled_ids)
    return dump({"mode": record.mode, "enabled": enabled, "allowlist": [list(entry) for entry in record.allowlist]})


def mutation_record(row: Row) -> MutationRecord:
    return MutationRecord(
        id=text(row, "id"),
        org_id=text(row, "org_id"),
        host_id=text(row, "host_id"),
        op=text(row, "op"),
        params=load(row["params"]),
        status=cast("MutationStatus", row["status"]),
        requested_by=text(row, "requested_by"),
        created_at=moment(row["created_at"]),
        wire_bytes=integer(row, "wire_bytes"),
        not_before=optional_moment(row["not_before"]),
        delivered_at=optional_moment(row["delivered_at"]),
        cancelled_at=optional_moment(row["cancelled_at"]),
        settled_at=optional_moment(row["settled_at"]),
        error=optional_text(row, "error"),
        undoes=optional_text(row, "undoes"),
        before=None if row["before"] is None else load(row["before"]),
    )


def why_not_cancelled(row: Row | None) -> CancelOutcome | None:
    """What became of a mutation that a cancel did not find pending; None where there is none."""
    if row is None:
        return None
    return "already_cancelled" if row["status"] == "cancelled" else "already_delivered"


def transition(row: Row) -> Transition:
    return Transition(
        at=moment(row["at"]),
        by=text(row, "by"),
        came_from=optional_text(row, "came_from"),
        to=text(row, "went_to"),
    )


def session_record(row: Row) -> SessionRecord:
    return SessionRecord(
        id=text(row, "id"),
        org_id=text(row, "org_id"),
        project_id=text(row, "project_id"),
        status=cast("SessionStatus", row["status"]),
        queued=bool(row["queued"]),
        priority=integer(row, "priority"),
        queued_at=moment(row["queued_at"]),
        created_by=text(row, "created_by"),
        worker_id=optional_text(row, "worker_id"),
        host_id=optional_text(row, "host_id"),
        claim_id=optional_text(row, "claim_id"),
        lease_until=optional_moment(row["lease_until"]),
        stop_requested=bool(row["stop_requested"]),
        nacks=integer(row, "nacks"),
        refusal=optional_text(row, "refusal"),
        error=optional_text(row, "error"),
        summary=optional_text(row, "summary"),
        exit_code=cast("int | None", row["exit_code"]),
        ended_at=optional_moment(row["ended_at"]),
    )


def stored_liveness(beat: Liveness) -> str:
    return dump(
        {
            "worker": beat.worker_id,
            "seen": milliseconds(beat.seen_at),
            "seq": beat.seq,
            "status": beat.status,
            "active": beat.active_count,
            "interactive": beat.active_interactive_count,
            "max": beat.max_sessions,
            "load": beat.load,
            "conditions": list(beat.conditions),
            "config": beat.config_digest,
        }
    )


def liveness(host_id: str, stored: str) -> Liveness:
    value = load(stored)
    return Liveness(
        host_id=host_id,
        worker_id=cast("str", value["worker"]),
        seen_at=moment(value["seen"]),
        seq=cast("int | None", value["seq"]),
        status=cast("str | None", value["status"]),
        active_count=cast("int", value["active"]),
        active_interactive_count=cast("int | None", value["interactive"]),
        max_sessions=cast("int | None", value["max"]),
        load=cast("JsonObject", value["load"]),
        conditions=tuple(cast("list[Json]", value["conditions"])),
        config_digest=cast("str | None", value["config"]),
    )
