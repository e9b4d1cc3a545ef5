"""What the daemon tells about itself, as JSON. Pure: a snapshot in, the wire's field names out.

Status and stats come in two halves. What the projects decide can be long (thousands of them) and changes rarely;
`LastingJson` renders it once. The rest is short and new every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from donmai_daemon.clock import rfc3339
from donmai_daemon.control.answer import encode
from donmai_daemon.control.redact import redact
from donmai_daemon.model.config import Config
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.status import BeatTrace, EffectiveSettings, Snapshot

PROJECT_ADMISSION_VERSION = 2
"""Version of the admission report that beats and registrations carry."""


def live_status(snapshot: Snapshot) -> JsonObject:
    """The part of `status` that is new every time."""
    return {
        "status": snapshot.lifecycle,
        "version": snapshot.version,
        "machineId": snapshot.machine_id,
        "workerId": snapshot.worker_id,
        "pid": snapshot.pid,
        "uptimeSeconds": round(snapshot.uptime_seconds, 3),
        "activeSessions": snapshot.active_sessions,
        "hostStatus": snapshot.host_status.to_json() if snapshot.host_status is not None else None,
        "heartbeat": _beat(snapshot.beat),
        "mutations": {
            "pending": snapshot.pending_mutations,
            "review": snapshot.review_mutations,
            "unsentAcks": snapshot.unsent_acks,
        },
        "conditions": [condition.to_json() for condition in snapshot.conditions],
        "config": {
            "path": snapshot.config_path,
            "digest": snapshot.config_digest,
            "valid": snapshot.config_valid,
        },
        "timestamp": rfc3339(snapshot.taken_at),
    }


def lasting_status(config: Config, applied_ids: Sequence[str]) -> JsonObject:
    """The part of `status` that the configuration and the applied projects decide."""
    projects: list[Json] = [
        {"projectId": project.id, "enabled": project.enabled, "repositories": list(project.repositories)}
        for project in sorted(config.projects.values(), key=lambda project: project.id)
    ]
    return {
        "maxSessions": config.capacity.max_sessions,
        "projectsAllowed": len(config.enabled_project_ids),
        "projectAdmissionVersion": PROJECT_ADMISSION_VERSION,
        "projectAdmissionMode": config.admission.mode,
        "enabledProjectIds": list(config.enabled_project_ids),
        "appliedProjectIds": list(applied_ids),
        "projects": projects,
    }


def live_stats(snapshot: Snapshot) -> JsonObject:
    """The part of `stats` that is new every time."""
    maximum = snapshot.config.capacity.max_sessions
    return {
        "capacity": {
            "maxConcurrentSessions": maximum,
            "availableSessions": max(0, maximum - snapshot.active_sessions),
        },
        "activeSessions": snapshot.active_sessions,
        "queueDepth": snapshot.queue_depth,
        "workerId": snapshot.worker_id,
        "registration": {
            "status": _registration(snapshot),
            "lastHeartbeatAt": snapshot.beat.last_accepted_at,
            "heartbeatRunning": snapshot.beat.running,
            "pollRunning": snapshot.poll_running,
        },
        "timestamp": rfc3339(snapshot.taken_at),
    }


def lasting_stats(config: Config, applied_ids: Sequence[str]) -> JsonObject:
    """The same part of `stats`. Repositories of disabled projects are allowed ones too."""
    allowed: list[Json] = [*sorted({url for project in config.projects.values() for url in project.repositories})]
    return {
        "projectAdmissionVersion": PROJECT_ADMISSION_VERSION,
        "projectAdmissionMode": config.admission.mode,
        "enabledProjectIds": list(config.enabled_project_ids),
        "appliedProjectIds": list(applied_ids),
        "allowedProjects": allowed,
    }


def heartbeat(snapshot: Snapshot) -> JsonObject:
    """The last composed body and the last accepted answer, as they were on the wire."""
    beat = snapshot.beat
    return {**_beat(beat), "lastBody": beat.last_body, "lastAnswer": beat.last_answer}


def effective_settings(settings: EffectiveSettings) -> JsonObject:
    """Every setting with its value, and where each value came from."""
    return {
        "settings": settings.values,
        "sources": dict(settings.sources),
        "warnings": list(settings.warnings),
    }


class LastingJson:
    """Renders the lasting half of a view once for each audience, and joins the other half to it.

    Configurations are immutable and replaced whole, so the same object is the same content.
    """

    def __init__(self, view: Callable[[Config, Sequence[str]], JsonObject]) -> None:
        self._view = view
        self._config: Config | None = None
        self._applied_ids: Sequence[str] = ()
        self._rendered: dict[bool, bytes] = {}

    def join(self, live: JsonObject, snapshot: Snapshot, *, trusted: bool) -> bytes:
        """One JSON object of both halves; secrets stay in it only for a trusted caller."""
        if self._config is not snapshot.config or self._applied_ids != snapshot.applied_project_ids:
            self._config, self._applied_ids = snapshot.config, snapshot.applied_project_ids
            self._rendered = {}
        lasting = self._rendered.get(trusted)
        if lasting is None:
            lasting = _render(self._view(self._config, self._applied_ids), trusted)
            self._rendered[trusted] = lasting
        return _render(live, trusted)[:-1] + b"," + lasting[1:]


def _render(view: JsonObject, trusted: bool) -> bytes:
    """No field of the views is itself a secret; a URL in one of their texts can hold one."""
    rendered = encode(view)
    return rendered if trusted or b"@" not in rendered else encode(redact(view))


def _beat(beat: BeatTrace) -> JsonObject:
    return {
        "intervalSeconds": beat.interval_seconds,
        "lastSentAt": beat.last_sent_at,
        "lastAcceptedAt": beat.last_accepted_at,
        "lastError": beat.last_error,
        "consecutiveFailures": beat.consecutive_failures,
    }


def _registration(snapshot: Snapshot) -> str:
    if snapshot.worker_id is not None:
        return "registered"
    return "unregistered" if snapshot.config.platform.url is not None else "unconfigured"
