"""The table of a session's moves, as pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest

from donmai_daemon.platform.conditions import Conflict
from donmai_daemon.platform.records.work import SessionRecord, SessionStatus
from donmai_daemon.platform.service.transitions import (
    Claimant,
    Report,
    given_back,
    lapsed,
    moved,
    refreshed,
    requeued,
    stop_asked,
)

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
LEASE = timedelta(seconds=120)
QUEUED = SessionRecord("ses_1", "acme", "alpha", "pending", True, 3, NOW, "Ada")
OFFERED = replace(QUEUED, queued=False, worker_id="wkr_1", host_id="host_1", claim_id="clm_1", lease_until=NOW)
MINE = Claimant("wkr_1", "host_1", "clm_1")
STATUSES: tuple[SessionStatus, ...] = get_args(SessionStatus)

LEGAL = {
    ("pending", "claimed"), ("pending", "running"), ("pending", "failed"), ("pending", "stopped"),
    ("claimed", "running"), ("claimed", "failed"), ("claimed", "stopped"),
    ("running", "finalizing"), ("running", "completed"), ("running", "failed"), ("running", "stopped"),
    ("finalizing", "completed"), ("finalizing", "failed"), ("finalizing", "stopped"),
}  # fmt: skip


def report(session: SessionRecord, who: Claimant, status: SessionStatus) -> SessionRecord:
    """The session after a status."""
    return moved(session, who, Report(status), NOW, LEASE, "clm_new")


@pytest.mark.parametrize(("was", "to"), list(product(STATUSES, STATUSES)))
def test_the_table_of_moves(was: SessionStatus, to: SessionStatus) -> None:
    """The owner's moves of the table are taken and lease the session or end it; every other one is 409 with the truth."""
    session = replace(OFFERED, status=was)
    if (was, to) in LEGAL:
        after = report(session, MINE, to)
        assert after.status == to
        assert (after.lease_until is None) == after.ended
        assert (after.ended_at == NOW) == after.ended
        return
    with pytest.raises(Conflict) as refused:
        report(session, MINE, to)
    assert refused.value.body is not None
    assert dict(refused.value.body) | {"error": ""} == {
        "error": "", "code": "illegal_transition", "status": was, "workerId": "wkr_1", "claimId": "clm_1",
    }  # fmt: skip


def code_of(session: SessionRecord, who: Claimant, status: SessionStatus = "running") -> object:
    """The code with which a move is refused."""
    with pytest.raises(Conflict) as refused:
        report(session, who, status)
    assert refused.value.body is not None
    return refused.value.body["code"]


def test_running_claims_what_is_queued() -> None:
    """`running` on a queued session takes it, under the claim id that came with it or a new one."""
    taken = report(QUEUED, Claimant("wkr_2", None, None), "running")
    assert (taken.queued, taken.worker_id, taken.claim_id) == (False, "wkr_2", "clm_new")
    assert report(QUEUED, Claimant("wkr_2", None, "clm_own"), "running").claim_id == "clm_own"
    assert code_of(QUEUED, MINE, "claimed") == "not_claimed"
    assert code_of(QUEUED, MINE, "failed") == "not_claimed"


def test_only_the_claim_moves_a_session() -> None:
    """Another host is refused, an older claim is refused; no claim id means the present one, also for a former worker."""
    assert code_of(OFFERED, Claimant("wkr_2", "host_2", "clm_1")) == "claimed_by_another"
    assert code_of(OFFERED, Claimant("wkr_2", None, "clm_1")) == "claimed_by_another"
    assert code_of(OFFERED, Claimant("wkr_1", "host_1", "clm_0")) == "claim_superseded"
    assert report(OFFERED, Claimant("wkr_1", "host_1"), "running").status == "running"
    assert report(OFFERED, Claimant("wkr_9", "host_1", "clm_1"), "running").worker_id == "wkr_1"


def test_a_nack_puts_it_back_where_it_was() -> None:
    """Given back before it ran: queued, unowned, at its old time. After that it cannot be given back."""
    back = given_back(OFFERED, MINE, "no", NOW)
    assert back == replace(QUEUED, nacks=1, refusal="no")
    with pytest.raises(Conflict):
        given_back(back, MINE, "no", NOW)
    with pytest.raises(Conflict):
        given_back(replace(OFFERED, status="running"), MINE, "no", NOW)
    assert given_back(replace(OFFERED, stop_requested=True), MINE, "no", NOW).status == "stopped"


def test_what_lapses() -> None:
    """Unconfirmed or not yet running goes back to the queue; what ran has failed; beats renew a confirmed claim only."""
    later = NOW + timedelta(seconds=1)
    assert lapsed(OFFERED, NOW, later).queued
    assert lapsed(replace(OFFERED, status="claimed"), NOW, None).queued
    ran = lapsed(replace(OFFERED, status="running"), NOW, None)
    assert (ran.status, ran.queued) == ("failed", False)
    assert lapsed(replace(OFFERED, status="finalizing"), NOW, None).status == "failed"
    renewed = lapsed(replace(OFFERED, status="running"), NOW, later)
    assert (renewed.status, renewed.lease_until) == ("running", later)
    still = replace(OFFERED, status="running", lease_until=later)
    assert lapsed(still, NOW, None) is still


def test_the_lease_is_renewed_by_its_holder() -> None:
    """Only the present claim renews, and only what is claimed and not over."""
    running = replace(OFFERED, status="running")
    assert refreshed(running, MINE, NOW, LEASE).lease_until == NOW + LEASE
    for session, who in (
        (running, Claimant("wkr_2", "host_2")),
        (running, Claimant("wkr_1", "host_1", "clm_0")),
        (OFFERED, MINE),
        (QUEUED, MINE),
        (replace(running, status="failed", lease_until=None), MINE),
    ):
        assert refreshed(session, who, NOW, LEASE) is session


def test_a_stop_is_asked_once() -> None:
    """Queued: stopped at once. Claimed: asked for. Over: nothing. A claim that comes back then ends."""
    assert stop_asked(QUEUED, NOW).status == "stopped"
    asked = stop_asked(OFFERED, NOW)
    assert asked.stop_requested
    assert asked.status == "pending"
    assert stop_asked(asked, NOW) == asked
    assert requeued(asked, NOW).status == "stopped"
    over = replace(OFFERED, status="completed")
    assert stop_asked(over, NOW) is over
