"""Worker hosts (durable: one machine of an organisation), their workers (one registration each), their state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.wire import HostStatus

Presence: TypeAlias = Literal["online", "stale", "offline"]


@dataclass(frozen=True, slots=True)
class AdmissionRecord:
    """What work a machine says it takes. `digest` is its `allowlistHash`, "" where it came without one.

    `mode` and `enabled_ids` are None where the machine has never said.
    """

    digest: str
    mode: str | None
    enabled_ids: tuple[str, ...] | None
    allowlist: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NewRegistration:
    """A machine that becomes a worker. `host_id` is used only where the machine has no host yet."""

    worker_id: str
    host_id: str
    org_id: str
    key_id: str
    machine_id: str
    hostname: str
    version: str | None
    region: str | None
    capacity: int
    admission: AdmissionRecord | None
    details: JsonObject
    """Everything else that was told, for people to read."""
    at: datetime


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One registration. `current` is False once the machine has registered again, or its host was removed."""

    id: str
    host_id: str
    org_id: str
    key_id: str
    current: bool
    key_revoked: bool


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One machine of an organisation, as registrations and operators know it."""

    id: str
    org_id: str
    machine_id: str
    hostname: str
    version: str | None
    region: str | None
    capacity: int
    worker_id: str
    status: HostStatus
    admission: AdmissionRecord | None
    registered_at: datetime
    open_mutations: int
    """Mutations that are not settled: pending or delivered."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """What the newest beat of a host said. `seq` None where the daemon does not count.

    Kept in memory (embedded) or with a time to live (scaled): losing it costs one interval of knowledge.
    """

    host_id: str
    worker_id: str
    seen_at: datetime
    seq: int | None = None
    status: str | None = None
    active_count: int = 0
    active_interactive_count: int | None = None
    max_sessions: int | None = None
    load: JsonObject = field(default_factory=dict)
    conditions: tuple[Json, ...] = ()
    config_digest: str | None = None


def is_outdated(beat: Liveness, kept: Liveness | None, within: timedelta) -> bool:
    """Whether `beat` is older than the one kept.

    A `seq` counts up per boot, and a boot has no name. So a lower `seq` means an older beat that arrives late while the
    kept one is younger than `within`, and a new boot after that.
    """
    if kept is None or kept.worker_id != beat.worker_id or kept.seq is None or beat.seq is None:
        return False
    return beat.seq < kept.seq and beat.seen_at - kept.seen_at < within
