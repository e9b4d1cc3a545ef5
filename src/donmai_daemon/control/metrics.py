"""The Prometheus text of a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from donmai_daemon.clock import parse_rfc3339
from donmai_daemon.model.exposition import Sample, family
from donmai_daemon.model.status import LifecycleState, Snapshot


def exposition(snapshot: Snapshot) -> str:
    """Every metric, in text exposition format 0.0.4."""
    return "".join(_families(snapshot))


def _families(snapshot: Snapshot) -> Iterator[str]:
    beat, config = snapshot.beat, snapshot.config
    yield _family("info", "Version of the daemon; always 1.", [Sample(1, {"version": snapshot.version})])
    states = [Sample(snapshot.lifecycle == state, {"state": state}) for state in get_args(LifecycleState)]
    yield _family("state", "1 for the state the daemon is in.", states)
    yield _gauge("uptime_seconds", "Time since the daemon started.", snapshot.uptime_seconds)
    yield _gauge("registered", "1 with a worker id.", snapshot.worker_id is not None)
    yield _gauge("ready", "1 when registered and a beat was accepted within three intervals.", beat.ready)
    blocked = snapshot.host_status is not None and snapshot.host_status.blocks_claiming
    yield _gauge("claiming_blocked", "1 while the platform says not to claim new work.", blocked)
    yield _gauge("heartbeat_interval_seconds", "Interval between beats.", beat.interval_seconds)
    yield _gauge(
        "heartbeat_consecutive_failures",
        "Beats that failed since the last accepted one.",
        beat.consecutive_failures,
    )
    accepted = parse_rfc3339(beat.last_accepted_at) if beat.last_accepted_at else None
    if accepted is not None:
        help_text = "Unix time of the last accepted beat."
        yield _gauge("heartbeat_last_accepted_timestamp_seconds", help_text, accepted.timestamp())
    yield _gauge("sessions_active", "Sessions that run.", snapshot.active_sessions)
    yield _gauge("sessions_max", "Sessions that may run at once.", config.capacity.max_sessions)
    yield _gauge("queue_depth", "Work items that wait on this machine.", snapshot.queue_depth)
    yield _gauge("projects_applied", "Projects that admission accepts now.", len(snapshot.applied_project_ids))
    yield _gauge("mutations_pending", "Mutations that are not settled.", snapshot.pending_mutations)
    yield _gauge("acks_unsent", "Outcomes the platform has not acknowledged yet.", snapshot.unsent_acks)
    yield _gauge("config_valid", "1 when the configuration file is good.", snapshot.config_valid)
    conditions = {(condition.code, condition.severity) for condition in snapshot.conditions}
    listed = [Sample(1, {"code": code, "severity": severity}) for code, severity in sorted(conditions)]
    yield _family("condition", "1 for each condition that is true now.", listed)


def _gauge(name: str, help_text: str, value: float) -> str:
    return _family(name, help_text, [Sample(value)])


def _family(name: str, help_text: str, samples: Sequence[Sample]) -> str:
    return family(f"donmai_{name}", "gauge", help_text, samples)
