"""Sessions and their queue in SQLite."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.records.work import (
    MAX_CLAIMED_BYTES,
    Activity,
    ClaimedWork,
    ClaimRequest,
    Decision,
    SessionRecord,
)
from donmai_daemon.platform.store.codec import (
    dump,
    integer,
    load,
    milliseconds,
    moment,
    session_record,
    text,
)
from donmai_daemon.platform.store.sqlite.database import Database, Transaction
from donmai_daemon.platform.store.values import new_session_values, session_values


class SqliteWork:
    """Implements `WorkStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queue(self, session: SessionRecord, payload: JsonObject) -> None:
        def write(transaction: Transaction) -> None:
            transaction.run("insert_session", id=session.id, **new_session_values(session))
            transaction.run("insert_work_item", id=session.id, payload=dump(payload))
            at = milliseconds(session.queued_at)
            transaction.audit(session.id, at, session.created_by, None, session.stage)

        await self._database.write(write)

    async def claim(self, request: ClaimRequest) -> list[ClaimedWork]:
        # Asked first without the writer: most polls find nothing, and those need not wait for a disk.
        if not self._database.rows("claimable", **_wanted(request), limit=1):
            return []
        return await self._database.write(lambda transaction: _claim(transaction, request))

    async def session(self, session_id: str) -> SessionRecord | None:
        row = self._database.row("session", id=session_id)
        return None if row is None else session_record(row)

    async def sessions(self, org_id: str | None, limit: int) -> list[SessionRecord]:
        return [session_record(row) for row in self._database.rows("sessions", org_id=org_id, limit=limit)]

    async def queued_payload(self, session_id: str) -> JsonObject | None:
        row = self._database.row("queued_payload", id=session_id)
        return None if row is None else load(row["payload"])

    async def change(self, session_id: str, decide: Decision, at: datetime, by: str) -> SessionRecord | None:
        def write(transaction: Transaction) -> SessionRecord | None:
            row = transaction.row("session", id=session_id)
            if row is None:
                return None
            before = session_record(row)
            after = decide(before)
            if after != before:
                _replace(transaction, before, after, milliseconds(at), by)
            return after

        return await self._database.write(write)

    async def hide(self, session_id: str, host_id: str, until: datetime) -> None:
        await self._database.write(
            lambda transaction: transaction.run(
                "hide_work", session_id=session_id, host_id=host_id, until=milliseconds(until)
            )
        )

    async def lapsed(self, at: datetime, limit: int) -> list[SessionRecord]:
        return [session_record(row) for row in self._database.rows("lapsed", at=milliseconds(at), limit=limit)]

    async def add_activity(self, activity: Activity, keep: int) -> None:
        def write(transaction: Transaction) -> None:
            transaction.run(
                "insert_activity",
                session_id=activity.session_id,
                at=milliseconds(activity.at),
                kind=activity.kind,
                content=activity.content,
            )
            transaction.run("trim_activities", session_id=activity.session_id, keep=keep)

        await self._database.write(write)

    async def activities(self, session_id: str, limit: int) -> list[Activity]:
        rows = self._database.rows("activities", session_id=session_id, limit=limit)
        return [Activity(session_id, moment(row["at"]), text(row, "kind"), text(row, "content")) for row in rows]


def _wanted(request: ClaimRequest) -> dict[str, object]:
    return {
        "org_id": request.org_id,
        "host_id": request.host_id,
        "projects": None if request.projects is None else dump([*sorted(request.projects)]),
        "at": milliseconds(request.at),
    }


def _claim(transaction: Transaction, request: ClaimRequest) -> list[ClaimedWork]:
    running = transaction.row("claims_of_host", host_id=request.host_id)
    claims = 0 if running is None else integer(running, "claims")
    room = request.capacity - max(request.active, claims)
    claimed: list[ClaimedWork] = []
    size = 0
    for row in transaction.rows("claimable", **_wanted(request), limit=max(room, 0)):
        size += len(text(row, "payload"))
        if claimed and size > MAX_CLAIMED_BYTES:
            break
        before = session_record(row)
        after = replace(
            before,
            queued=False,
            worker_id=request.worker_id,
            host_id=request.host_id,
            claim_id=request.new_claim_id(),
            lease_until=request.at + request.confirm_within,
        )
        _replace(transaction, before, after, milliseconds(request.at), request.worker_id)
        claimed.append(ClaimedWork(after, load(row["payload"])))
    return claimed


def _replace(transaction: Transaction, before: SessionRecord, after: SessionRecord, at: int, by: str) -> None:
    """Write what changed; the payload goes where the session goes, in the same transaction."""
    transaction.run("update_session", **session_values(after))
    if before.queued and not after.queued:
        if not after.ended:
            transaction.run("copy_to_claimed", id=after.id)
        transaction.run("drop_from_queue", id=after.id)
    elif after.queued and not before.queued:
        transaction.run("copy_to_queue", id=after.id)
        transaction.run("drop_from_claimed", id=after.id)
    if after.ended and not before.ended:
        transaction.run("drop_from_claimed", id=after.id)
        transaction.run("drop_hidden", id=after.id)
    was, now = before.stage, after.stage
    if was != now:
        transaction.audit(after.id, at, by, was, now)
