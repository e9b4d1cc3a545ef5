"""The exchange of a beat on PostgreSQL: settle, read, stamp, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from donmai_daemon.platform.records.hosts import AdmissionRecord
from donmai_daemon.platform.records.mutations import MAX_DELIVERED, BeatExchange, BeatOutcome, SettledAck
from donmai_daemon.platform.store.codec import Row, host_record, milliseconds, stored_admission, text
from donmai_daemon.platform.store.exchange import has_news, outcome, stamps, status_after, that_fit
from donmai_daemon.platform.store.scaled.database import Database, Transaction
from donmai_daemon.platform.store.scaled.gathered import Gathered
from donmai_daemon.platform.store.scaled.hosts import set_status
from donmai_daemon.platform.store.scaled.redis_client import RedisClient
from donmai_daemon.platform.store.scaled.work import waiting_key


class ScaledBeats:
    """Implements `BeatStore`. Most beats find nothing new: they only look, and those that come together look together."""

    def __init__(self, database: Database, redis: RedisClient) -> None:
        self._database = database
        self._redis = redis
        self._looks = Gathered(self._look)
        self._lengths = Gathered(self._queue_lengths)

    async def exchange(self, beat: BeatExchange) -> BeatOutcome | None:
        row = await self._looks.one(beat.worker_id)
        if row is None:
            return None
        # Asked before anything is written: where Redis does not answer, the beat has done nothing.
        queued_work = await self._lengths.one(text(row, "org_id"))
        if beat.acks or has_news(row, beat.at):
            return await self._database.write(lambda transaction: _exchange(transaction, beat, queued_work))
        if row["redeliver"] and not beat.hold:
            # Delivered ones only: what has become due since the first look is not stamped, and may still be cancelled.
            again = await self._database.rows("delivered_mutations", host_id=row["host_id"], limit=MAX_DELIVERED)
            return outcome(row, queued_work, that_fit(again))
        return outcome(row, queued_work, answered=not beat.hold)

    async def report(self, worker_id: str, report: AdmissionRecord) -> bool:
        row = await self._looks.one(worker_id)
        if row is None or (report.digest and report.digest == row["admission_digest"]):
            return row is not None
        stored = stored_admission(report)

        async def write(transaction: Transaction) -> bool:
            return bool(
                await transaction.run(
                    "set_admission", worker_id=worker_id, admission_digest=report.digest, admission=stored
                )
            )

        return await self._database.write(write)

    async def _look(self, worker_ids: Sequence[str]) -> list[Row | None]:
        found = {row["worker_id"]: row for row in await self._database.rows("beats", worker_ids=[*worker_ids])}
        return [found.get(worker_id) for worker_id in worker_ids]

    async def _queue_lengths(self, org_ids: Sequence[str]) -> list[int]:
        orgs = [*dict.fromkeys(org_ids)]
        lengths = cast("list[int]", await self._redis.run("lengths", [waiting_key(org) for org in orgs]))
        found = dict(zip(orgs, lengths, strict=True))
        return [found[org] for org in org_ids]


async def _exchange(transaction: Transaction, beat: BeatExchange, queued_work: int) -> BeatOutcome | None:
    # Beats of a host take turns, and what is read below is as of this lock or later.
    await transaction.row("lock_host_of_worker", worker_id=beat.worker_id)
    row = await transaction.row("beats", worker_ids=[beat.worker_id])
    if row is None:
        return None
    host_id, at = text(row, "host_id"), milliseconds(beat.at)
    foreign = await _settle(transaction, host_id, beat.acks, at, beat.worker_id)
    row = await transaction.row("beats", worker_ids=[beat.worker_id]) or row
    if beat.hold and not has_news(row, beat.at):
        return outcome(row, queued_work, answered=False, foreign=foreign)
    # Read, locked and stamped in one transaction, and a cancel is one too:
    # 1. the cancel has the row first: it is waited for, the row is not pending then, so it is not read here;
    # 2. this has the row first: the cancel waits, finds `delivered`, and is refused.
    due = await transaction.rows("due_mutations", host_id=host_id, at=at, limit=MAX_DELIVERED)
    delivered = that_fit(due)
    stored = await transaction.row("admission", id=host_id) if beat.reported_digest is not None else None
    first_time = [*stamps(delivered, stored, beat)]
    await transaction.run_each(
        "stamp_delivered",
        [{"number": mutation["number"], "at": at, "before": before} for mutation, before in first_time],
    )
    ids = [text(mutation, "id") for mutation, _ in first_time]
    await transaction.audit_each(ids, at, beat.worker_id, "pending", "delivered")
    if row["status_told"] != row["status"]:
        await transaction.run("set_status_told", id=host_id)
    return outcome(row, queued_work, delivered, foreign=foreign)


async def _settle(
    transaction: Transaction, host_id: str, acks: Sequence[SettledAck], at: int, by: str
) -> list[str]:
    """Settle what was delivered; the first outcome stands. The ids that are none of this host's delivered ones."""
    ends = [(ack, "applied" if ack.error is None else "failed") for ack in acks]
    settled = await transaction.row_each(
        "settle_mutation",
        [
            {"id": ack.id, "host_id": host_id, "status": status, "at": at, "error": ack.error}
            for ack, status in ends
        ],
    )
    for went_to in ("applied", "failed"):
        moved = [ack.id for (ack, status), row in zip(ends, settled, strict=True) if row and status == went_to]
        await transaction.audit_each(moved, at, by, "delivered", went_to)
    for (_, status), row in zip(ends, settled, strict=True):
        told = status_after(row, status) if row is not None else None
        host = await transaction.row("host", id=host_id) if told is not None else None
        if told is not None and host is not None:
            await set_status(transaction, host_record(host), told, at, by)
    unsettled = [ack.id for ack, row in zip(acks, settled, strict=True) if row is None]
    known = await transaction.row_each("is_settled", [{"id": id_, "host_id": host_id} for id_ in unsettled])
    return [id_ for id_, row in zip(unsettled, known, strict=True) if row is None]
