"""The exchange of a beat in SQLite: settle, read, stamp, in one transaction."""

from __future__ import annotations

from datetime import datetime

from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.records.hosts import AdmissionRecord
from donmai_daemon.platform.records.mutations import (
    MAX_DELIVERED,
    MAX_DELIVERED_BYTES,
    BeatExchange,
    BeatOutcome,
    SettledAck,
)
from donmai_daemon.platform.store.codec import (
    Row,
    admission,
    dump,
    host_record,
    host_status,
    integer,
    load,
    milliseconds,
    moment,
    mutation_record,
    optional_text,
    stored_admission,
    text,
)
from donmai_daemon.platform.store.sqlite.database import Database, Transaction
from donmai_daemon.platform.store.sqlite.hosts import set_status
from donmai_daemon.platform.undo import entry_before, subject


class SqliteBeats:
    """Implements `BeatStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(self, beat: BeatExchange) -> BeatOutcome | None:
        row = self._database.row("beat", worker_id=beat.worker_id)
        if row is None:
            return None
        # What is read out is read in a transaction that may stamp, redeliveries too: between two reads of the reader a
        # mutation could be queued, and then be handed out without a stamp, so that it could still be cancelled.
        if beat.acks or _has_news(row, beat.at) or (row["redeliver"] and not beat.hold):
            return await self._database.write(lambda transaction: _exchange(transaction, beat))
        return _outcome(row, [], answered=not beat.hold)

    async def report(self, worker_id: str, report: AdmissionRecord) -> bool:
        row = self._database.row("beat", worker_id=worker_id)
        if row is None or (report.digest and report.digest == row["admission_digest"]):
            return row is not None
        stored = stored_admission(report)

        def write(transaction: Transaction) -> bool:
            return bool(
                transaction.run(
                    "set_admission", worker_id=worker_id, admission_digest=report.digest, admission=stored
                )
            )

        return await self._database.write(write)


def _has_news(row: Row, at: datetime) -> bool:
    """A mutation that is due and was never delivered, or a host status that this worker has not been told."""
    next_due = row["next_due"]
    due = isinstance(next_due, int) and next_due <= milliseconds(at)
    return due or row["status_told"] != row["status"]


def _exchange(transaction: Transaction, beat: BeatExchange) -> BeatOutcome | None:
    row = transaction.row("beat", worker_id=beat.worker_id)
    if row is None:
        return None
    host_id, at = text(row, "host_id"), milliseconds(beat.at)
    foreign = [ack.id for ack in beat.acks if not _settle(transaction, host_id, ack, at, beat.worker_id)]
    row = transaction.row("beat", worker_id=beat.worker_id) or row
    if beat.hold and not _has_news(row, beat.at):
        return _outcome(row, [], answered=False, foreign=foreign)
    # Read and stamped in one transaction, and a cancel is one too:
    # 1. the cancel commits first: the row is not pending, so it is not read here;
    # 2. this commits first: the cancel finds `delivered` and is refused.
    delivered = _due(transaction, row, beat)
    _stamp(transaction, row, delivered, beat)
    if row["status_told"] != row["status"]:
        transaction.run("set_status_told", id=host_id)
    return _outcome(row, delivered, answered=True, foreign=foreign)


def _stamp(transaction: Transaction, row: Row, delivered: list[Row], beat: BeatExchange) -> None:
    """Stamp those never delivered before, each with what the machine had reported of its entry, where that can be told."""
    at = milliseconds(beat.at)
    stored = transaction.row("admission", id=row["host_id"]) if beat.reported_digest is not None else None
    report = None
    if stored is not None and stored["admission_digest"] == beat.reported_digest:
        report = admission(beat.reported_digest, optional_text(stored, "admission"))
    unsettled: set[tuple[str, str] | None] = set()
    for mutation in delivered:
        op, params = text(mutation, "op"), load(mutation["params"])
        about = subject(op, params)
        if mutation["status"] == "pending":
            before = entry_before(report, op, params) if report is not None and about not in unsettled else None
            stored_before = None if before is None else dump(before)
            transaction.run("stamp_delivered", number=mutation["number"], at=at, before=stored_before)
            transaction.audit(text(mutation, "id"), at, beat.worker_id, "pending", "delivered")
        unsettled.add(about)


def _settle(transaction: Transaction, host_id: str, ack: SettledAck, at: int, by: str) -> bool:
    """Whether the id is one of this host's that was delivered; the first outcome stands."""
    status = "applied" if ack.error is None else "failed"
    settled = transaction.row("settle_mutation", id=ack.id, host_id=host_id, status=status, at=at, error=ack.error)
    if settled is None:
        return transaction.row("is_settled", id=ack.id, host_id=host_id) is not None
    transaction.audit(ack.id, at, by, "delivered", status)
    if settled["op"] == "pool.deleted" and status == "applied":
        host = transaction.row("host", id=host_id)
        if host is not None:
            # From here on the platform says it as well. An `ok` in the next answer would take it back.
            set_status(transaction, host_record(host), _pool_deleted(load(settled["params"])), at, by)
    return True


def _pool_deleted(params: JsonObject) -> HostStatus:
    candidates = params.get("candidatePoolIds")
    pools = tuple(pool for pool in candidates if isinstance(pool, str)) if isinstance(candidates, list) else ()
    return HostStatus("pool_deleted", candidate_pool_ids=pools)


def _due(transaction: Transaction, row: Row, beat: BeatExchange) -> list[Row]:
    listed = transaction.rows(
        "due_mutations", host_id=row["host_id"], at=milliseconds(beat.at), limit=MAX_DELIVERED
    )
    size = 0
    for index, mutation in enumerate(listed):
        size += integer(mutation, "wire_bytes")
        if size > MAX_DELIVERED_BYTES:
            return listed[:index]
    return listed


def _outcome(row: Row, delivered: list[Row], *, answered: bool, foreign: list[str] | None = None) -> BeatOutcome:
    return BeatOutcome(
        host_id=text(row, "host_id"),
        org_id=text(row, "org_id"),
        host_status=host_status(text(row, "status")),
        mutations=tuple(mutation_record(mutation) for mutation in delivered),
        queued_work=0 if row["queued_work"] is None else integer(row, "queued_work"),
        answered=answered,
        next_due=None if row["next_due"] is None else moment(row["next_due"]),
        foreign_acks=tuple(foreign or ()),
    )
