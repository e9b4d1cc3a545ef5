"""The queues of mutations in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from donmai_daemon.platform.records.mutations import CancelOutcome, MutationRecord, Transition
from donmai_daemon.platform.store.codec import milliseconds, mutation_record, transition, why_not_cancelled
from donmai_daemon.platform.store.scaled.database import Database, Transaction
from donmai_daemon.platform.store.values import mutation_values


class PostgresMutations:
    """Implements `MutationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(self, mutation: MutationRecord) -> bool:
        async def write(transaction: Transaction) -> bool:
            # Before a number is taken: of two that are queued at once, the one with the lower number is committed first,
            # so what a host is handed is never followed by something that came before it.
            await transaction.row("lock_host", id=mutation.host_id)
            if not await transaction.run("insert_mutation", **mutation_values(mutation)):
                return False
            at = milliseconds(mutation.created_at)
            await transaction.audit(mutation.id, at, mutation.requested_by, None, "pending")
            return True

        return await self._database.write(write)

    async def mutation(self, org_id: str, mutation_id: str) -> MutationRecord | None:
        row = await self._database.row("mutation", id=mutation_id, org_id=org_id)
        return None if row is None else mutation_record(row)

    async def mutations(self, host_id: str, limit: int) -> list[MutationRecord]:
        return [
            mutation_record(row) for row in await self._database.rows("mutations", host_id=host_id, limit=limit)
        ]

    async def history(self, host_id: str, ops: Sequence[str], limit: int) -> list[MutationRecord]:
        rows = await self._database.rows("history", host_id=host_id, ops=[*ops], limit=limit)
        return [mutation_record(row) for row in rows]

    async def cancel(self, org_id: str, mutation_id: str, at: datetime, by: str) -> CancelOutcome | None:
        async def write(transaction: Transaction) -> CancelOutcome | None:
            stamp = milliseconds(at)
            if await transaction.run("cancel_mutation", id=mutation_id, org_id=org_id, at=stamp):
                await transaction.audit(mutation_id, stamp, by, "pending", "cancelled")
                return "cancelled"
            return why_not_cancelled(await transaction.row("mutation", id=mutation_id, org_id=org_id))

        return await self._database.write(write)

    async def trail(self, mutation_id: str) -> list[Transition]:
        return [transition(row) for row in await self._database.rows("trail", subject=mutation_id)]
