"""The exchange of a beat in SQLite: settle, read, stamp, in one transaction."""

from __future__ import annotations

from donmai_daemon.platform.records.hosts import AdmissionRecord
from donmai_daemon.platform.records.mutations import MAX_DELIVERED, BeatExchange, BeatOutcome, SettledAck
from donmai_daemon.platform.store.codec import Row, host_record, integer, milliseconds, stored_admission, text
from donmai_daemon.platform.store.exchange import has_news, outcome, stamps, status_after, that_fit
from donmai_daemon.platform.store.sqlite.database import Database, Transaction
from donmai_daemon.platform.store.sqlite.hosts import set_status


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
        if beat.acks or has_news(row, beat.at) or (row["redeliver"] and not beat.hold):
            return await self._database.write(lambda transaction: _exchange(transaction, beat))
        return outcome(row, _queued_work(row), answered=not beat.hold)

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


def _exchange(transaction: Transaction, beat: BeatExchange) -> BeatOutcome | None:
    row = transaction.row("beat", worker_id=beat.worker_id)
    if row is None:
        return None
    host_id, at = text(row, "host_id"), milliseconds(beat.at)
    foreign = [ack.id for ack in beat.acks if not _settle(transaction, host_id, ack, at, beat.worker_id)]
    row = transaction.row("beat", worker_id=beat.worker_id) or row
    if beat.hold and not has_news(row, beat.at):
        return outcome(row, _queued_work(row), answered=False, foreign=foreign)
    # Read and stamped in one transaction, and a cancel is one too:
    # 1. the cancel commits first: the row is not pending, so it is not read here;
    # 2. this commits first: the cancel finds `delivered` and is refused.
    delivered = that_fit(transaction.rows("due_mutations", host_id=host_id, at=at, limit=MAX_DELIVERED))
    stored = transaction.row("admission", id=host_id) if beat.reported_digest is not None else None
    for mutation, before in stamps(delivered, stored, beat):
        transaction.run("stamp_delivered", number=mutation["number"], at=at, before=before)
        transaction.audit(text(mutation, "id"), at, beat.worker_id, "pending", "delivered")
    if row["status_told"] != row["status"]:
        transaction.run("set_status_told", id=host_id)
    return outcome(row, _queued_work(row), delivered, foreign=foreign)


def _settle(transaction: Transaction, host_id: str, ack: SettledAck, at: int, by: str) -> bool:
    """Whether the id is one of this host's that was delivered; the first outcome stands."""
    status = "applied" if ack.error is None else "failed"
    settled = transaction.row("settle_mutation", id=ack.id, host_id=host_id, status=status, at=at, error=ack.error)
    if settled is None:
        return transaction.row("is_settled", id=ack.id, host_id=host_id) is not None
    transaction.audit(ack.id, at, by, "delivered", status)
    told = status_after(settled, status)
    host = transaction.row("host", id=host_id) if told is not None else None
    if told is not None and host is not None:
        set_status(transaction, host_record(host), told, at, by)
    return True


def _queued_work(row: Row) -> int:
    return 0 if row["queued_work"] is None else integer(row, "queued_work")
