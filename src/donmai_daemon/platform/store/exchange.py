"""What the exchange of a beat decides, whichever store carries it out: the same rows in, the same steps out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.records.mutations import MAX_DELIVERED_BYTES, BeatExchange, BeatOutcome
from donmai_daemon.platform.store.codec import (
    Row,
    admission,
    dump,
    host_status,
    integer,
    load,
    milliseconds,
    moment,
    mutation_record,
    optional_text,
    text,
)
from donmai_daemon.platform.undo import entry_before, subject


def has_news(row: Row, at: datetime) -> bool:
    """A mutation that is due and was never delivered, or a host status that this worker has not been told."""
    next_due = row["next_due"]
    due = isinstance(next_due, int) and next_due <= milliseconds(at)
    return due or row["status_told"] != row["status"]


def that_fit(listed: list[Row]) -> list[Row]:
    """As many as fit into one answer."""
    size = 1
    for index, mutation in enumerate(listed):
        size += integer(mutation, "wire_bytes") + 1  # and a comma, or a bracket of the list
        if size > MAX_DELIVERED_BYTES:
            return listed[:index]
    return listed


def stamps(delivered: Sequence[Row], stored: Row | None, beat: BeatExchange) -> Iterator[tuple[Row, str | None]]:
    """Those never delivered before, each with what the machine had reported of its entry, where that can be told.

    `stored` is the report that the store has of the machine, None where `beat` names none to compare it with.
    """
    report = None
    if stored is not None and stored["admission_digest"] == beat.reported_digest:
        report = admission(beat.reported_digest, optional_text(stored, "admission"))
    unsettled: set[tuple[str, str] | None] = set()
    for mutation in delivered:
        op, params = text(mutation, "op"), load(mutation["params"])
        about = subject(op, params)
        if mutation["status"] == "pending":
            before = entry_before(report, op, params) if report is not None and about not in unsettled else None
            yield mutation, None if before is None else dump(before)
        unsettled.add(about)


def status_after(settled: Row, status: str) -> HostStatus | None:
    """What the host's beats are told from the settling of a mutation on; None: what they were told before.

    Once `pool.deleted` is applied the platform says it as well: an `ok` in the next answer would take it back.
    """
    if settled["op"] != "pool.deleted" or status != "applied":
        return None
    candidates = load(settled["params"]).get("candidatePoolIds")
    pools = tuple(pool for pool in candidates if isinstance(pool, str)) if isinstance(candidates, list) else ()
    return HostStatus("pool_deleted", candidate_pool_ids=pools)


def outcome(
    row: Row, queued_work: int, delivered: Sequence[Row] = (), *, answered: bool = True, foreign: Sequence[str] = ()
) -> BeatOutcome:
    """The outcome of an exchange in which `row` was what the store knew."""
    return BeatOutcome(
        host_id=text(row, "host_id"),
        org_id=text(row, "org_id"),
        host_status=host_status(text(row, "status")),
        mutations=tuple(mutation_record(mutation) for mutation in delivered),
        queued_work=queued_work,
        answered=answered,
        next_due=None if row["next_due"] is None else moment(row["next_due"]),
        foreign_acks=tuple(foreign),
    )
