"""Registration and token refresh, as they stand on the wire (`/api` routes: intervals are milliseconds there)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from donmai_daemon.clock import parse_rfc3339
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.model.secret import Secret, is_token

MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 1.0, 3600.0

_INTERVAL_FIELDS = {"heartbeatInterval", "pollInterval"}
_REGISTERED_FIELDS = _INTERVAL_FIELDS | {
    "workerId", "workerHostId", "runtimeToken", "runtimeTokenExpiresAt", "heldBeats",
}  # fmt: skip
_REFRESHED_FIELDS = _INTERVAL_FIELDS | {"runtimeToken", "runtimeTokenExpiresAt", "expiresAt"}


@dataclass(frozen=True, slots=True)
class HostInfo:
    """What the machine is. None where it could not be found out; such a field is left out."""

    os: str
    arch: str
    daemon_version: str
    started_at: str
    """RFC 3339."""
    os_version: str | None = None
    cpu_cores: int | None = None
    cpu_model: str | None = None
    memory_total_mb: int | None = None
    """MiB."""

    def to_json(self) -> JsonObject:
        fields: JsonObject = {
            "os": self.os,
            "osVersion": self.os_version,
            "arch": self.arch,
            "cpuCores": self.cpu_cores,
            "cpuModel": self.cpu_model,
            "memTotalMb": self.memory_total_mb,
            "daemonVersion": self.daemon_version,
            "startedAt": self.started_at,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Registration:
    """What a machine says to become a worker. `capacity` is 0 or more sessions, and 0 is sent as 0."""

    hostname: str
    capacity: int
    version: str
    machine_id: str
    host_info: HostInfo
    report: AdmissionReport
    region: str | None = None
    capabilities: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        body: JsonObject = {
            "hostname": self.hostname,
            "capacity": self.capacity,
            "version": self.version,
            "machineId": self.machine_id,
            "hostInfo": self.host_info.to_json(),
            "capabilities": list(self.capabilities),
            "projectAdmissionVersion": 2,
            "projectAdmissionMode": self.report.mode,
            "projectIds": list(self.report.enabled_ids),
            "daemonProjects": self.report.allowlist_json(),
        }
        if self.region is not None:
            body["region"] = self.region
        return body


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A new runtime token for the same worker.

    `expires_at` is None where neither the token nor the answer says when. Intervals are seconds, clamped to 1 s … 1 h;
    None where the answer names none. `ignored` says what was passed over, for the log.
    """

    runtime_token: Secret
    expires_at: datetime | None = None
    heartbeat_interval_seconds: float | None = None
    poll_interval_seconds: float | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Refreshed):
    """A new worker. `worker_host_id` is the durable id of the machine, None where the platform has none."""

    worker_id: str
    worker_host_id: str | None = None
    held_beats: bool = False


def read_registered(payload: Json) -> Registered | str:
    """Read the JSON of a 2xx answer to a registration; a string says why it is none."""
    if not isinstance(payload, dict):
        return "answer is not a JSON object"
    refreshed = _read_refreshed(payload, _REGISTERED_FIELDS)
    if isinstance(refreshed, str):
        return refreshed
    worker_id = payload.get("workerId")
    if not isinstance(worker_id, str) or not 0 < len(worker_id) <= 512 or not worker_id.isprintable():
        return "answer has no usable workerId"
    return Registered(
        runtime_token=refreshed.runtime_token,
        expires_at=refreshed.expires_at,
        heartbeat_interval_seconds=refreshed.heartbeat_interval_seconds,
        poll_interval_seconds=refreshed.poll_interval_seconds,
        ignored=refreshed.ignored,
        worker_id=worker_id,
        worker_host_id=text_or_none(payload, "workerHostId"),
        held_beats=payload.get("heldBeats") is True,
    )


def read_refreshed(payload: Json) -> Refreshed | str:
    """Read the JSON of a 2xx answer to a refresh; a string says why it is none."""
    if not isinstance(payload, dict):
        return "answer is not a JSON object"
    return _read_refreshed(payload, _REFRESHED_FIELDS)


def _read_refreshed(payload: JsonObject, known: set[str]) -> Refreshed | str:
    token = payload.get("runtimeToken")
    if not isinstance(token, str) or not is_token(token):
        return "answer has no usable runtimeToken"
    ignored = [f"unknown field {name!r}" for name in payload if name not in known]
    named = text_or_none(payload, "runtimeTokenExpiresAt") or text_or_none(payload, "expiresAt")
    return Refreshed(
        runtime_token=Secret(token),
        expires_at=jwt_expiry(token) or (parse_rfc3339(named) if named is not None else None),
        heartbeat_interval_seconds=_seconds(payload, "heartbeatInterval", ignored),
        poll_interval_seconds=_seconds(payload, "pollInterval", ignored),
        ignored=tuple(ignored),
    )


def jwt_expiry(token: str) -> datetime | None:
    """The `exp` of a JSON Web Token, unverified: nothing else of it is ours to read. None for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None


def _seconds(payload: Mapping[str, Json], name: str, ignored: list[str]) -> float | None:
    milliseconds = payload.get(name)
    if milliseconds is None:
        return None
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not milliseconds > 0:
        ignored.append(f"{name} is not a positive number")
        return None
    return max(min(milliseconds, MAX_INTERVAL_SECONDS * 1000) / 1000, MIN_INTERVAL_SECONDS)
