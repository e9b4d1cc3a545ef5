"""Queueing, listing and cancelling changes to one machine."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from donmai_daemon.clock import Clock, rfc3339
from donmai_daemon.errors import ParamsInvalid, UnsupportedOperation
from donmai_daemon.model.json import JsonObject
from donmai_daemon.ops.registry import operation
from donmai_daemon.platform.conditions import Absent, Conflict, RequestRefused
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.records.mutations import CountTransition, MutationRecord, Transition
from donmai_daemon.platform.service.keys import CHANGERS, READERS, require
from donmai_daemon.platform.store.ports import HostStore, MutationStore
from donmai_daemon.platform.undo import inverse, related_ops
from donmai_daemon.platform.wakeups import Wakeups, host_topic

MAX_PARAMS_BYTES = 16 * 1024
"""Largest params on the wire (specification of the wire, limits)."""

_MAX_HISTORY = 10_000


class MutationData(MutationStore, HostStore, Protocol):
    """What this service needs of a store."""


class Mutations:
    """The queue of each host, as a key sees it."""

    def __init__(
        self, store: MutationData, wakeups: Wakeups, clock: Clock, names: Names, count: CountTransition
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._clock = clock
        self._names = names
        self._count = count
        self._log = structlog.get_logger("platform.mutations")

    async def enqueue(
        self,
        key: KeyRecord,
        host_id: str,
        op: str,
        params: JsonObject,
        not_before: datetime | None = None,
        undoes: str | None = None,
    ) -> MutationRecord:
        """Queue a change. Raises `Forbidden`, `RequestRefused` (naming the field), `Absent`."""
        require(key, CHANGERS)
        ignored = check_operation(op, params)
        mutation = MutationRecord(
            id=self._names.new("mut"),
            org_id=key.org_id,
            host_id=host_id,
            op=op,
            params=params,
            status="pending",
            requested_by=key.label,
            created_at=self._clock.now(),
            wire_bytes=0,
            not_before=not_before,
            undoes=undoes,
        )
        mutation = replace(mutation, wire_bytes=len(json.dumps(delivery(mutation), separators=(",", ":"))))
        if not await self._store.enqueue(mutation):
            raise Absent(f"no host {host_id}")
        self._count("pending")
        self._log.info(
            "mutation.queued", mutation=mutation.id, host=host_id, op=op, key=key.id, ignored_params=len(ignored)
        )
        await self._wakeups.publish(host_topic(host_id))
        return mutation

    async def recent(self, key: KeyRecord, host_id: str, limit: int) -> list[MutationRecord]:
        """Newest first. Raises `Forbidden`, `Absent`."""
        require(key, READERS)
        if await self._store.host(key.org_id, host_id) is None:
            raise Absent(f"no host {host_id}")
        return await self._store.mutations(host_id, limit)

    async def cancel(self, key: KeyRecord, mutation_id: str) -> None:
        """Take back what was not delivered. Raises `Forbidden`, `Absent`, `Conflict`."""
        require(key, CHANGERS)
        outcome = await self._store.cancel(key.org_id, mutation_id, self._clock.now(), key.label)
        if outcome is None:
            raise Absent(f"no mutation {mutation_id}")
        if outcome != "cancelled":
            raise Conflict(f"the mutation was {outcome.replace('_', ' ')}", {"cancelled": False, "reason": outcome})
        self._count("cancelled")
        self._log.info("mutation.cancelled", mutation=mutation_id, key=key.id)

    async def find(self, key: KeyRecord, mutation_id: str) -> tuple[MutationRecord, list[Transition]]:
        """One mutation and all that happened to it. Raises `Forbidden`, `Absent`."""
        require(key, READERS)
        mutation = await self._store.mutation(key.org_id, mutation_id)
        if mutation is None:
            raise Absent(f"no mutation {mutation_id}")
        return mutation, await self._store.trail(mutation_id)

    async def undo(self, key: KeyRecord, mutation_id: str) -> MutationRecord:
        """Queue the operation that takes a mutation back. Raises `Forbidden`, `Absent`, `Conflict` with the reason why not."""
        require(key, CHANGERS)
        mutation = await self._store.mutation(key.org_id, mutation_id)
        if mutation is None:
            raise Absent(f"no mutation {mutation_id}")
        history = await self._store.history(mutation.host_id, related_ops(mutation.op), _MAX_HISTORY)
        if len(history) == _MAX_HISTORY:
            raise Conflict("cannot be undone: the machine's history is too long to be sure")
        back = inverse(mutation, history)
        return await self.enqueue(key, mutation.host_id, back.op, back.params, undoes=mutation.id)


def check_operation(op: str, params: JsonObject) -> tuple[str, ...]:
    """Check with the daemon's own code; the names of the params it will ignore. Raises `RequestRefused`."""
    try:
        known = operation(op)
    except UnsupportedOperation as error:
        raise RequestRefused("op", f'unknown operation "{op}"') from error
    if not known.remote:
        raise RequestRefused("op", f'"{op}" can be asked for on the machine itself only')
    try:
        checked = known.check(params)
    except ParamsInvalid as error:
        raise RequestRefused(f"params.{error.field}" if error.field else "params", error.problem) from error
    if len(json.dumps(params, separators=(",", ":"))) > MAX_PARAMS_BYTES:
        raise RequestRefused("params", f"larger than {MAX_PARAMS_BYTES} bytes")
    return checked.ignored


def delivery(mutation: MutationRecord) -> JsonObject:
    """One element of `pendingMutations`."""
    return {
        "id": mutation.id,
        "op": mutation.op,
        "params": mutation.params,
        "requestedAt": rfc3339(mutation.created_at),
        "requestedBy": mutation.requested_by,
    }
