"""From records to the values of a statement, for every store: what `codec` reads back."""

from __future__ import annotations

from donmai_daemon.platform.records.hosts import NewRegistration
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.records.mutations import MutationRecord
from donmai_daemon.platform.records.work import SessionRecord
from donmai_daemon.platform.store.codec import Value, dump, milliseconds, optional_milliseconds, stored_admission


def key_values(key: KeyRecord, digest: str) -> dict[str, Value]:
    """Of a new key."""
    return {
        "id": key.id,
        "digest": digest,
        "org_id": key.org_id,
        "role": key.role,
        "name": key.name,
        "prefix": key.prefix,
        "created_at": milliseconds(key.created_at),
        "created_by": key.created_by,
    }


def registration_values(registration: NewRegistration, host_id: str) -> dict[str, Value]:
    """Of a host as its newest registration says it is, made or changed by it."""
    admission = registration.admission
    return {
        "host_id": host_id,
        "org_id": registration.org_id,
        "machine_id": registration.machine_id,
        "hostname": registration.hostname,
        "version": registration.version,
        "region": registration.region,
        "capacity": registration.capacity,
        "worker_id": registration.worker_id,
        "admission_digest": None if admission is None else admission.digest,
        "admission": None if admission is None else stored_admission(admission),
        "details": dump(registration.details),
        "at": milliseconds(registration.at),
    }


def worker_values(registration: NewRegistration, host_id: str) -> dict[str, Value]:
    """Of the worker that a registration makes."""
    return {
        "worker_id": registration.worker_id,
        "host_id": host_id,
        "key_id": registration.key_id,
        "at": milliseconds(registration.at),
    }


def mutation_values(mutation: MutationRecord) -> dict[str, Value]:
    """Of a mutation that is queued."""
    return {
        "id": mutation.id,
        "org_id": mutation.org_id,
        "host_id": mutation.host_id,
        "op": mutation.op,
        "params": dump(mutation.params),
        "requested_by": mutation.requested_by,
        "created_at": milliseconds(mutation.created_at),
        "wire_bytes": mutation.wire_bytes,
        "not_before": optional_milliseconds(mutation.not_before),
        "undoes": mutation.undoes,
    }


def new_session_values(session: SessionRecord) -> dict[str, Value]:
    """Of a session, what stays as it was when it was queued."""
    return {
        "org_id": session.org_id,
        "project_id": session.project_id,
        "priority": session.priority,
        "queued_at": milliseconds(session.queued_at),
        "created_by": session.created_by,
    }


def session_values(session: SessionRecord) -> dict[str, Value]:
    """Of a session, what may change, and its id."""
    return {
        "id": session.id,
        "status": session.status,
        "queued": int(session.queued),
        "worker_id": session.worker_id,
        "host_id": session.host_id,
        "claim_id": session.claim_id,
        "lease_until": optional_milliseconds(session.lease_until),
        "stop_requested": int(session.stop_requested),
        "nacks": session.nacks,
        "refusal": session.refusal,
        "error": session.error,
        "summary": session.summary,
        "exit_code": session.exit_code,
        "ended_at": optional_milliseconds(session.ended_at),
    }
