"""What a beat says, read leniently: a bad element is named and left out, and never sinks the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from donmai_daemon.model.json import Json, JsonObject, int_or_none, text_or_none
from donmai_daemon.model.mutation import MAX_ERROR_CHARS
from donmai_daemon.platform.records.hosts import AdmissionRecord, Liveness
from donmai_daemon.platform.records.mutations import MAX_DELIVERED, SettledAck

_FIELDS = {
    "status", "activeCount", "activeInteractiveCount", "maxSessions", "load", "loadAverage", "allowlistHash", "seq",
    "allowlist", "enabledProjectIds", "projectAdmissionMode", "appliedMutations", "mutationFailures", "conditions",
    "configDigest", "workerId", "activeSessions",
}  # fmt: skip
_STATUSES = {"idle", "busy", "draining"}
_MAX_TEXT, _MAX_CONDITIONS = 512, 50
_MAX_ACKS = MAX_DELIVERED
"""The wire allows 200. What is beyond so many, which is all that can be out at a host, stays delivered and comes again."""


@dataclass(frozen=True, slots=True)
class BeatReport:
    """One beat as it came.

    `admission` is None without a full report, `admission_digest` without an `allowlistHash`; `ignored` says what was
    passed over.
    """

    status: str | None
    active_count: int
    active_interactive_count: int | None
    max_sessions: int | None
    load: JsonObject
    seq: int | None
    admission: AdmissionRecord | None
    admission_digest: str | None
    acks: tuple[SettledAck, ...]
    conditions: tuple[Json, ...]
    config_digest: str | None
    ignored: tuple[str, ...]

    def liveness(self, host_id: str, worker_id: str, at: datetime) -> Liveness:
        """The part of it that is not worth a disk write."""
        return Liveness(
            host_id=host_id,
            worker_id=worker_id,
            seen_at=at,
            seq=self.seq,
            status=self.status,
            active_count=self.active_count,
            active_interactive_count=self.active_interactive_count,
            max_sessions=self.max_sessions,
            load=self.load,
            conditions=self.conditions,
            config_digest=self.config_digest,
        )


def read_beat(body: Mapping[str, Json]) -> BeatReport:
    """Read the body of a beat. Nothing in it can be so wrong that the beat is refused."""
    ignored = [f"unknown field {name[:64]!r}" for name in body if name not in _FIELDS]
    status = text_or_none(body, "status")
    if status is not None and status not in _STATUSES:
        ignored.append("status is none of idle, busy, draining")
        status = None
    return BeatReport(
        status=status,
        active_count=_count(body, "activeCount", ignored) or _sessions(body.get("activeSessions")),
        active_interactive_count=_count(body, "activeInteractiveCount", ignored),
        max_sessions=_count(body, "maxSessions", ignored),
        load=_load(body),
        seq=_count(body, "seq", ignored),
        admission=_admission(body, ignored),
        admission_digest=_text(body.get("allowlistHash")),
        acks=_acks(body, ignored),
        conditions=_conditions(body.get("conditions"), ignored),
        config_digest=_text(body.get("configDigest")),
        ignored=tuple(ignored),
    )


def read_admission(
    mode: Json, enabled: Json, entries: Json, digest: str | None, ignored: list[str]
) -> AdmissionRecord | None:
    """A full report: of a beat, or of a registration. None where nothing of it is there."""
    if not isinstance(enabled, list) and not isinstance(entries, list):
        return None
    ids = [i for i in enabled if _text(i)] if isinstance(enabled, list) else None
    pairs: list[tuple[str, str]] = []
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        project = _text(entry.get("id")) if isinstance(entry, dict) else None
        repository = text_or_none(entry, "repository") if isinstance(entry, dict) else None
        if project is None or repository is None:
            ignored.append(f"allowlist[{index}] has no id and repository")
        else:
            pairs.append((project, repository))
    return AdmissionRecord(
        digest=digest or "",
        mode=_text(mode),
        enabled_ids=None if ids is None else tuple(sorted({str(i) for i in ids})),
        allowlist=tuple(pairs),
    )


def _admission(body: Mapping[str, Json], ignored: list[str]) -> AdmissionRecord | None:
    return read_admission(
        body.get("projectAdmissionMode"),
        body.get("enabledProjectIds"),
        body.get("allowlist"),
        _text(body.get("allowlistHash")),
        ignored,
    )


def _acks(body: Mapping[str, Json], ignored: list[str]) -> tuple[SettledAck, ...]:
    acks: list[SettledAck] = []
    applied, failures = body.get("appliedMutations"), body.get("mutationFailures")
    for index, identifier in enumerate(applied if isinstance(applied, list) else ()):
        name = _text(identifier)
        if name is None:
            ignored.append(f"appliedMutations[{index}] is not an id")
        else:
            acks.append(SettledAck(name, None))
    for index, failure in enumerate(failures if isinstance(failures, list) else ()):
        name = _text(failure.get("id")) if isinstance(failure, dict) else None
        if name is None or not isinstance(failure, dict):
            ignored.append(f"mutationFailures[{index}] has no id")
        else:
            error = text_or_none(failure, "error") or "failed without a reason"
            acks.append(SettledAck(name, error[:MAX_ERROR_CHARS]))
    if len(acks) > _MAX_ACKS:
        ignored.append(f"{len(acks) - _MAX_ACKS} acks too many")
    return tuple(acks[:_MAX_ACKS])


def _conditions(listed: Json, ignored: list[str]) -> tuple[Json, ...]:
    kept: list[Json] = []
    for index, condition in enumerate(listed if isinstance(listed, list) else ()):
        fields: JsonObject = {}
        if isinstance(condition, dict):
            fields = {
                name: value[:_MAX_TEXT]
                for name in ("code", "severity", "message", "since")
                if isinstance(value := condition.get(name), str)
            }
        if "code" in fields and len(kept) < _MAX_CONDITIONS:
            kept.append(fields)
        else:
            ignored.append(f"conditions[{index}] has no code, or is one too many")
    return tuple(kept)


def _load(body: Mapping[str, Json]) -> JsonObject:
    fields: JsonObject = {}
    for group, names in (("load", ("cpu", "memory")), ("loadAverage", ("one", "five", "fifteen"))):
        sample = body.get(group)
        if isinstance(sample, dict):
            fields[group] = {name: sample[name] for name in names if _is_number(sample.get(name))}
    return fields


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53  # False for NaN


def _count(body: Mapping[str, Json], name: str, ignored: list[str]) -> int | None:
    value = int_or_none(body, name)
    if value is not None and 0 <= value < 2**53:
        return value
    if body.get(name) is not None:
        ignored.append(f"{name} is not a count")
    return None


def _sessions(value: Json) -> int:
    """`/v1` says how many sessions run, or lists them."""
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT else None
