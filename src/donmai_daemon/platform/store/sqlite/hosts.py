"""Hosts and workers in SQLite."""

from __future__ import annotations

from datetime import datetime

from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.records.hosts import HostRecord, NewRegistration, WorkerRecord
from donmai_daemon.platform.records.mutations import HOST_REMOVED
from donmai_daemon.platform.store.codec import dump, host_record, milliseconds, text, worker_record
from donmai_daemon.platform.store.sqlite.database import Database, Transaction
from donmai_daemon.platform.store.values import registration_values, worker_values


class SqliteHosts:
    """Implements `HostStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, registration: NewRegistration) -> str:
        return await self._database.write(lambda transaction: _register(transaction, registration))

    async def worker(self, worker_id: str) -> WorkerRecord | None:
        row = self._database.row("worker", id=worker_id)
        return None if row is None else worker_record(row)

    async def host(self, org_id: str, host_id: str) -> HostRecord | None:
        row = self._database.row("host", id=host_id)
        return host_record(row) if row is not None and row["org_id"] == org_id else None

    async def hosts(self, org_id: str | None, after: str, limit: int) -> list[HostRecord]:
        rows = self._database.rows("hosts", org_id=org_id, after=after, limit=limit)
        return [host_record(row) for row in rows]

    async def set_host_status(self, host_id: str, status: HostStatus, at: datetime, by: str) -> HostRecord | None:
        def write(transaction: Transaction) -> HostRecord | None:
            before = transaction.row("host", id=host_id)
            if before is None:
                return None
            set_status(transaction, host_record(before), status, milliseconds(at), by)
            after = transaction.row("host", id=host_id)
            return None if after is None else host_record(after)

        return await self._database.write(write)

    async def remove_host(self, host_id: str, at: datetime, by: str) -> HostRecord | None:
        def write(transaction: Transaction) -> HostRecord | None:
            row = transaction.row("host", id=host_id)
            if row is None:
                return None
            stamp = milliseconds(at)
            transaction.run("remove_host", id=host_id, at=stamp)
            for cancelled in transaction.rows("cancel_mutations_of_host", host_id=host_id, at=stamp):
                transaction.audit(text(cancelled, "id"), stamp, by, "pending", "cancelled")
            for failed in transaction.rows("fail_mutations_of_host", host_id=host_id, at=stamp, error=HOST_REMOVED):
                transaction.audit(text(failed, "id"), stamp, by, "delivered", "failed")
            transaction.audit(host_id, stamp, by, "registered", "removed")
            return host_record(row)

        return await self._database.write(write)


def set_status(transaction: Transaction, host: HostRecord, status: HostStatus, at: int, by: str) -> None:
    """Change what beats of `host` are told, and say who did it."""
    transaction.run("set_host_status", id=host.id, status=dump(status.to_json()))
    if host.status.status != status.status:
        transaction.audit(host.id, at, by, host.status.status, status.status)


def _register(transaction: Transaction, registration: NewRegistration) -> str:
    # 1. Daemon A registers (org, machine): no host is found, one is made.   2. Daemon B, a clone with the same machine
    # id, registers: the host is found.   3. B's worker becomes the current one, A's is superseded. One transaction
    # each, so there is no order in which the machine gets two hosts or the host two current workers.
    found = transaction.row("host_of_machine", org_id=registration.org_id, machine_id=registration.machine_id)
    host_id = registration.host_id if found is None else text(found, "id")
    transaction.run("insert_host" if found is None else "update_host", **registration_values(registration, host_id))
    transaction.run("insert_worker", **worker_values(registration, host_id))
    transaction.audit(
        host_id,
        milliseconds(registration.at),
        registration.key_id,
        None if found is None else text(found, "worker_id"),
        registration.worker_id,
    )
    return host_id
