"""The exchange of a beat on PostgreSQL: settle, read, stamp, in one transaction."""

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
from donmai_daemon.platform.store.scaled.database import Database, Transaction
from donmai_daemon.platform.store.scaled.hosts import set_status
from donmai_daemon.platform.store.scaled.redis_client import RedisClient
from donmai_daemon.platform.store.scaled.work import waiting_key
from donmai_daemon.platform.undo import entry_before, subject


class ScaledBeats:
    """Implements `BeatStore`."""

    def __init__(self, database: Database, redis: RedisClient) -> None:
        self._database = database
        self._redis = redis

    async def exchange(self, beat: BeatExchange) -> BeatOutcome | None:
        row = await self._database.row("beat", worker_id=beat.worker_id)
        if row is None:
            return None
        # Asked before anything is written: where Redis does not answer, the beat has done nothing.
        queued_work = await self._redis.number("SCARD", waiting_key(text(row, "org_id")))
        if beat.acks or _has_news(row, beat.at):
            return await self._database.write(lambda transaction: _exchange(transaction, beat, queued_work))
        if row["redeliver"] and not beat.hold:
            # Delivered ones only: what has become due since the first look is not stamped, and may still be cancelled.
            again = await self._database.rows("delivered_mutations", host_id=row["host_id"], limit=MAX_DELIVERED)
            return _outcome(row, queued_work, _that_fit(again), answered=True)
        return _outcome(row, queued_work, [], answered=not beat.hold)

    async def report(self, worker_id: str, report: AdmissionRecord) -> bool:
        row = await self._database.row("beat", worker_id=worker_id)
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


def _has_news(row: Row, at: datetime) -> bool:
    """A mutation that is due and was never delivered, or a host status that this worker has not been told."""
    next_due = row["next_due"]
    due = isinstance(next_due, int) and next_due <= milliseconds(at)
    return due or row["status_told"] != row["status"]


async def _exchange(transaction: Transaction, beat: BeatExchange, queued_work: int) -> BeatOutcome | None:
    # Beats of a host take turns, and what is read below is as of this lock or later.
    await transaction.row("lock_host_of_worker", worker_id=beat.worker_id)
    row = await transaction.row("beat", worker_id=beat.worker_id)
    if row is None:
        return None
    host_id, at = text(row, "host_id"), milliseconds(beat.at)
    foreign = [ack.id for ack in beat.acks if not await _settle(transaction, host_id, ack, at, beat.worker_id)]
    row = await transaction.row("beat", worker_id=beat.worker_id) or row
    if beat.hold and not _has_news(row, beat.at):
        return _outcome(row, queued_work, [], answered=False, foreign=foreign)
    # Read, locked and stamped in one transaction, and a cancel is one too:
    # 1. the cancel has the row first: it is waited for, the row is not pending then, so it is not read here;
    # 2. this has the row first: the cancel waits, finds `delivered`, and is refused.
    due = await transaction.rows("due_mutations", host_id=host_id, at=at, limit=MAX_DELIVERED)
    delivered = _that_fit(due)
    await _stamp(transaction, row, delivered, beat)
    if row["status_told"] != row["status"]:
        await transaction.run("set_status_told", id=host_id)
    return _outcome(row, queued_work, delivered, answered=True, foreign=foreign)


async def _stamp(transaction: Transaction, row: Row, delivered: list[Row], beat: BeatExchange) -> None:
    """Stamp those never delivered before, each with what the machine had reported of its entry, where that can be told."""
    at = milliseconds(beat.at)
    stored = await transaction.row("admission", id=row["host_id"]) if beat.reported_digest is not None else None
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
            await transaction.run("stamp_delivered", number=mutation["number"], at=at, before=stored_before)
            await transaction.audit(text(mutation, "id"), at, beat.worker_id, "pending", "delivered")
        unsettled.add(about)


async def _settle(transaction: Transaction, host_id: str, ack: SettledAck, at: int, by: str) -> bool:
    """Whether the id is one of this host's that was delivered; the first outcome stands."""
    status = "applied" if ack.error is None else "failed"
    settled = await transaction.row(
        "settle_mutation", id=ack.id, host_id=host_id, status=status, at=at, error=ack.error
    )
    if settled is None:
        return await transaction.row("is_settled", id=ack.id, host_id=host_id) is not None
    await transaction.audit(ack.id, at, by, "delivered", status)
    if settled["op"] == "pool.deleted" and status == "applied":
        host = await transaction.row("host", id=host_id)
        if host is not None:
            # From here on the platform says it as well. An `ok` in the next answer would take it back.
            await set_status(transaction, host_record(host), _pool_deleted(load(settled["params"])), at, by)
    return True


def _pool_deleted(params: JsonObject) -> HostStatus:
    candidates = params.get("candidatePoolIds")
    pools = tuple(pool for pool in candidates if isinstance(pool, str)) if isinstance(candidates, list) else ()
    return HostStatus("pool_deleted", candidate_pool_ids=pools)


def _that_fit(listed: list[Row]) -> list[Row]:
    """As many as fit into one answer."""
    size = 0
    for index, mutation in enumerate(listed):
        size += integer(mutation, "wire_bytes")
        if size > MAX_DELIVERED_BYTES:
            return listed[:index]
    return listed


def _outcome(
    row: Row, queued_work: int, delivered: list[Row], *, answered: bool, foreign: list[str] | None = None
) -> BeatOutcome:
    return BeatOutcome(
        host_id=text(row, "host_id"),
        org_id=text(row, "org_id"),
        host_status=host_status(text(row, "status")),
        mutations=tuple(mutation_record(mutation) for mutation in delivered),
        queued_work=queued_work,
        answered=answered,
        next_due=None if row["next_due"] is None else moment(row["next_due"]),
        foreign_acks=tuple(foreign or ()),
    )
