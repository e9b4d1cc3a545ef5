"""Records as the wire shows them."""

from __future__ import annotations

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.records.mutations import MutationRecord, Transition
from donmai_daemon.platform.records.work import Activity, SessionRecord
from donmai_daemon.platform.service.hosts import HostView


def mutation_view(mutation: MutationRecord) -> JsonObject:
    """A mutation; times that have not come are left out."""
    view: JsonObject = {
        "id": mutation.id,
        "orgId": mutation.org_id,
        "workerHostId": mutation.host_id,
        "op": mutation.op,
        "params": mutation.params,
        "status": mutation.status,
        "requestedBy": mutation.requested_by,
        "createdAt": rfc3339(mutation.created_at),
    }
    times = {
        "deliveredAt": mutation.delivered_at,
        "cancelledAt": mutation.cancelled_at,
        "settledAt": mutation.settled_at,
        "notBefore": mutation.not_before,
    }
    view |= {name: rfc3339(moment) for name, moment in times.items() if moment is not None}
    view |= {
        name: text for name, text in (("error", mutation.error), ("undoes", mutation.undoes)) if text is not None
    }
    return view


def transition_view(transition: Transition) -> JsonObject:
    """One row of the audit trail; `from` is null where the thing was made."""
    return {
        "at": rfc3339(transition.at),
        "by": transition.by,
        "from": transition.came_from,
        "to": transition.to,
    }


def host_view(view: HostView) -> JsonObject:
    """A host, as `GET /api/daemon/hosts` lists it."""
    host, beat = view.host, view.beat
    admission = host.admission
    enabled: list[Json] | None = None
    if admission is not None and admission.enabled_ids is not None:
        enabled = list(admission.enabled_ids)
    told = beat.max_sessions if beat is not None and beat.worker_id == host.worker_id else None
    return {
        "workerHostId": host.id,
        "orgId": host.org_id,
        "machineId": host.machine_id,
        "hostname": host.hostname,
        "region": host.region,
        "workerId": host.worker_id,
        "status": view.presence,
        "lastSeenAt": rfc3339(view.last_seen_at),
        "version": host.version,
        "activeCount": 0 if beat is None else beat.active_count,
        "maxSessions": host.capacity if told is None else told,
        "dispatchStatus": None if beat is None else beat.status,
        "load": {} if beat is None else beat.load,
        "hostStatus": host.status.to_json(),
        "projectAdmissionMode": None if admission is None else admission.mode,
        "enabledProjectIds": enabled,
        "allowlistHash": None if admission is None else admission.digest,
        "configDigest": None if beat is None else beat.config_digest,
        "conditions": [] if beat is None else list(beat.conditions),
        "pendingMutations": host.open_mutations,
    }


def key_view(key: KeyRecord) -> JsonObject:
    """A key without the key."""
    return {
        "id": key.id,
        "keyPrefix": key.prefix,
        "orgId": key.org_id,
        "role": key.role,
        "name": key.name,
        "createdAt": rfc3339(key.created_at),
        "createdBy": key.created_by,
        "revokedAt": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }


def session_view(session: SessionRecord) -> JsonObject:
    """A session without its payload."""
    view: JsonObject = {
        "sessionId": session.id,
        "organizationId": session.org_id,
        "projectId": session.project_id,
        "status": session.status,
        "priority": session.priority,
        "queuedAt": rfc3339(session.queued_at),
        "workerId": session.worker_id,
        "claimId": session.claim_id,
        "stopRequested": session.stop_requested,
        "nacks": session.nacks,
    }
    more: JsonObject = {
        "lastRefusal": session.refusal,
        "error": session.error,
        "summary": session.summary,
        "exitCode": session.exit_code,
        "endedAt": None if session.ended_at is None else rfc3339(session.ended_at),
    }
    return view | {name: value for name, value in more.items() if value is not None}


def activity_view(activity: Activity) -> JsonObject:
    """Something that an agent told."""
    return {"at": rfc3339(activity.at), "type": activity.kind, "content": activity.content}
