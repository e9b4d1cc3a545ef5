"""How a session may move. Pure: each function returns what the session becomes, or raises `Conflict` with the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.conditions import Conflict
from donmai_daemon.platform.records.work import ENDED, SessionRecord, SessionStatus

_NEXT: dict[SessionStatus, frozenset[SessionStatus]] = {
    "pending": frozenset({"claimed", "running", "failed", "stopped"}),
    "claimed": frozenset({"running", "failed", "stopped"}),
    "running": frozenset({"finalizing", "completed", "failed", "stopped"}),
    "finalizing": frozenset({"completed", "failed", "stopped"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "stopped": frozenset(),
}
"""The wire's table. `finalizing` may be left out; what has not run yet may still fail or be stopped."""

LEASE_LOST = "the worker that ran this session stopped answering"


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who speaks: a worker, of a host (None: a sandbox), with the claim it believes in (None: it did not say)."""

    worker_id: str
    host_id: str | None
    claim_id: str | None = None

    def owns(self, session: SessionRecord) -> bool:
        """Whether the session is claimed by this machine. It may have registered again since: then by its former worker."""
        if session.claim_id is None or session.worker_id is None:
            return False
        same_host = self.host_id is not None and self.host_id == session.host_id
        return same_host or self.worker_id == session.worker_id

    def holds_claim(self, session: SessionRecord) -> bool:
        """Whether it also means the present claim. One that says no claim id means whatever claim there is."""
        return self.owns(session) and self.claim_id in (None, session.claim_id)


@dataclass(frozen=True, slots=True)
class Report:
    """What a status says beside the status."""

    status: SessionStatus
    error: str | None = None
    exit_code: int | None = None


def moved(
    session: SessionRecord, who: Claimant, report: Report, at: datetime, lease: timedelta, new_claim_id: str
) -> SessionRecord:
    """The session after `who` reported a status. `running` on a queued session is its claim. Raises `Conflict`."""
    if session.queued and report.status == "running":
        # 1. Worker A reads the queued detail.   2. Worker B does.   3. Both report `running`. The first commit takes the
        # session from the queue; the other one decides on the row as it is then, and finds that it owns nothing.
        claim_id = who.claim_id or new_claim_id
        session = replace(session, queued=False, worker_id=who.worker_id, host_id=who.host_id, claim_id=claim_id)
    if not who.owns(session):
        raise refusal(session, "not_claimed" if session.claim_id is None else "claimed_by_another")
    if not who.holds_claim(session):
        raise refusal(session, "claim_superseded")
    if report.status not in _NEXT[session.status]:
        raise refusal(session, "illegal_transition")
    if report.status in ENDED:
        return ended(session, report.status, at, error=report.error, exit_code=report.exit_code)
    return replace(session, status=report.status, lease_until=at + lease)


def ended(
    session: SessionRecord,
    status: SessionStatus,
    at: datetime,
    *,
    error: str | None = None,
    exit_code: int | None = None,
) -> SessionRecord:
    """The session, over. Who had it stays on record."""
    return replace(
        session, status=status, queued=False, lease_until=None, ended_at=at, error=error, exit_code=exit_code
    )


def given_back(session: SessionRecord, who: Claimant, reason: str, at: datetime) -> SessionRecord:
    """The session after `who` refused it for `reason`: in the queue, in its old place. Raises `Conflict`."""
    if not who.owns(session):
        raise refusal(session, "not_claimed" if session.claim_id is None else "claimed_by_another")
    if not who.holds_claim(session):
        raise refusal(session, "claim_superseded")
    if session.status not in ("pending", "claimed"):
        raise refusal(session, "illegal_transition")
    return replace(requeued(session, at), nacks=session.nacks + 1, refusal=reason)


def requeued(session: SessionRecord, at: datetime) -> SessionRecord:
    """The session in the queue again; over, where somebody has asked for its end meanwhile."""
    free = replace(
        session, status="pending", queued=True, worker_id=None, host_id=None, claim_id=None, lease_until=None
    )
    return ended(free, "stopped", at) if session.stop_requested else free


def refreshed(session: SessionRecord, who: Claimant, at: datetime, lease: timedelta) -> SessionRecord:
    """The session with a fresh lease, where it is `who`'s and not over; else as it was."""
    if session.ended or session.status == "pending" or not who.holds_claim(session):
        return session
    return replace(session, lease_until=at + lease)


def lapsed(session: SessionRecord, at: datetime, alive_until: datetime | None) -> SessionRecord:
    """The session after nobody renewed its lease by name. `alive_until` is as long as its host's last beat renews it.

    A claim that was never confirmed, or never got to `running`, goes back to the queue: no agent has started, as none
    starts before `running` was accepted. One that ran does not run a second time by itself: it has failed.
    """
    if session.lease_until is None or session.lease_until > at:
        return session  # renewed, or over, since it was looked up
    confirmed = session.status != "pending"
    if confirmed and alive_until is not None and alive_until > at:
        return replace(session, lease_until=alive_until)
    if session.status in ("pending", "claimed"):
        return requeued(session, at)
    return ended(session, "failed", at, error=LEASE_LOST)


def stop_asked(session: SessionRecord, at: datetime) -> SessionRecord:
    """The session after somebody asked for its end: at once where nobody has it, else by whoever has it."""
    if session.ended:
        return session
    if session.queued:
        return ended(session, "stopped", at)
    return replace(session, stop_requested=True)


def refusal(session: SessionRecord, code: str) -> Conflict:
    """A 409 that says how things are: who finds status, worker and claim to be its own has been heard before."""
    text = {
        "illegal_transition": f"the session is {session.status} and cannot move there",
        "not_claimed": "the session is not claimed",
        "claimed_by_another": "the session is claimed by another worker",
        "claim_superseded": "the session has been claimed anew since",
    }[code]
    body: JsonObject = {
        "error": text,
        "code": code,
        "status": session.status,
        "workerId": session.worker_id,
        "claimId": session.claim_id,
    }
    return Conflict(text, body)
