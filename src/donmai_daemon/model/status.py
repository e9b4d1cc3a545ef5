"""What the daemon tells about itself: one moment of it, the heartbeat so far, the settings in effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from donmai_daemon.model.condition import Condition
from donmai_daemon.model.config import Config
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.wire import HostStatus

LifecycleState: TypeAlias = Literal["starting", "ready", "paused", "draining", "stopped"]


@dataclass(frozen=True, slots=True)
class BeatTrace:
    """The heartbeat so far. Times are RFC 3339 or None; `last_body` and `last_answer` carry no secrets."""

    interval_seconds: float
    last_sent_at: str | None
    last_accepted_at: str | None
    last_error: str | None
    consecutive_failures: int
    running: bool
    ready: bool
    """Registered, and a beat accepted within three intervals."""
    last_body: JsonObject | None
    last_answer: JsonObject | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the daemon, enough for status and stats."""

    lifecycle: LifecycleState
    version: str
    machine_id: str
    worker_id: str | None
    pid: int
    uptime_seconds: float
    active_sessions: int
    config: Config
    """The configuration in the file, as far as it is good."""
    applied_project_ids: Sequence[str]
    """Sorted: what admission uses right now."""
    host_status: HostStatus | None
    beat: BeatTrace
    pending_mutations: int
    review_mutations: int
    unsent_acks: int
    conditions: Sequence[Condition]
    config_path: str
    config_digest: str | None
    config_valid: bool
    queue_depth: int
    poll_running: bool
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What a local change would do: `outcome` and, where it edits the file, a unified diff."""

    outcome: Literal["applied", "failed"]
    diff: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """Effective settings with secrets redacted; `sources` maps a dotted key to `file`, `environment`, `option` or `default`."""

    values: JsonObject
    sources: Mapping[str, str]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Sessions that take a place now; `interactive` is part of `active`."""

    active: int = 0
    interactive: int = 0
