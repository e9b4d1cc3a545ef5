"""Mutations that are no edits of the file: they act on this host, and no broken file holds them back."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import structlog

from donmai_daemon.clock import Clock, wait_until
from donmai_daemon.errors import JournalUnavailable
from donmai_daemon.link.retry import Backoff
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.mutation import MutationRecord, Verdict
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.runtime.verdicts import INTERNAL_ERROR, admit, failed
from donmai_daemon.store.journal import Journal

_MAX_RETRY_SECONDS = 30.0

Kill: TypeAlias = Callable[[str, str | None], Awaitable[bool]]
"""Ends a session's processes, with a reason: True where there was one to end, or it had ended; False: none is known."""

SESSION_NOT_KNOWN = "session not known"


class HostLane:
    """Settles what waits in the host lane, in first-seen order."""

    def __init__(
        self,
        *,
        journal: Journal,
        store: StoreThread,
        host: HostState,
        live_config: LiveConfig,
        conditions: Conditions,
        clock: Clock,
        rng: random.Random,
        kill: Kill,
        on_settled: Callable[[], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._store = store
        self._host = host
        self._live_config = live_config
        self._conditions = conditions
        self._clock = clock
        self._backoff = Backoff(rng)
        self._kill = kill
        self._on_settled = on_settled
        self._wake = anyio.Event()
        self._retry_at: float | None = None
        self._log = structlog.get_logger("host_lane")

    def wake(self) -> None:
        """Something waits."""
        self._wake.set()

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await wait_until(self._clock, self._retry_at, self._wake)
            self._wake = anyio.Event()
            self._retry_at = None
            try:
                await self.settle_all()
                self._backoff.reset()
            except JournalUnavailable as error:
                self._conditions.set("disk_full", "error", error.message)
                self._retry_at = self._clock.monotonic() + self._backoff.next(cap=_MAX_RETRY_SECONDS)

    async def settle_all(self) -> None:
        """Everything that waits now. Raises `JournalUnavailable`."""
        records = await self._store.run(self._journal.pending, "host")
        for record in records:
            verdict, status = await self._effect(record)
            await self._store.run(self._journal.settle, [verdict], self._clock.now(), status)
            if status is not None:
                self._host.told(status)
            self._log.info("host_lane.settled", id=verdict.id, op=record.request.op, outcome=verdict.outcome)
        if records:
            await self._on_settled()

    async def _effect(self, record: MutationRecord) -> tuple[Verdict, HostStatus | None]:
        """Effects here can be repeated: a crash before the outcome is on disk runs them again."""
        request = record.request
        admitted = admit(request, self._live_config.config.remote)
        if isinstance(admitted, Verdict):
            return admitted, None
        known, params = admitted
        try:
            if known.name == "pool.deleted":
                return self._pool_deleted(request.id, params.values)
            if known.name == "session.kill":
                reason = params.values.get("reason")
                ended = await self._kill(
                    str(params.values["sessionId"]), reason if isinstance(reason, str) else None
                )
                if not ended:
                    return failed(request.id, SESSION_NOT_KNOWN), None
                return Verdict(request.id, "applied", changed=True), None
            raise TypeError(f"{known.name} has no effect in this lane")
        except Exception:  # noqa: BLE001 - one bad mutation must not block the queue, whatever it is
            self._log.exception("mutation.internal_error", id=request.id, op=request.op)
            self._conditions.set(
                "mutation_internal_error", "error", f"failed for a fault of this program: {request.id}"
            )
            return failed(request.id, INTERNAL_ERROR), None

    def _pool_deleted(self, mutation_id: str, params: JsonObject) -> tuple[Verdict, HostStatus | None]:
        pools = params.get("candidatePoolIds")
        candidates = tuple(str(pool) for pool in pools) if isinstance(pools, list) else ()
        wanted = HostStatus("pool_deleted", candidate_pool_ids=candidates)
        known = self._host.status
        if known is not None and (known.status, known.candidate_pool_ids) == (wanted.status, candidates):
            return Verdict(mutation_id, "applied"), None
        return Verdict(mutation_id, "applied", changed=True), wanted
