"""The journal for those who are not in the store thread: history, local changes, and how much waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from donmai_daemon.clock import Clock, rfc3339
from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.json import Json
from donmai_daemon.model.mutation import JournalCounts, MutationRecord, MutationRequest, MutationState
from donmai_daemon.model.status import Preview
from donmai_daemon.ops.registry import operation
from donmai_daemon.runtime.applier import Applier
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.store.journal import Journal


class Inbox:
    """Local changes enter where remote ones do, so the file has one writer besides its owner.

    `new_id` makes the random part of a local id. `on_submit` wakes the lanes.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        applier: Applier,
        store: StoreThread,
        clock: Clock,
        new_id: Callable[[], str],
        counts: JournalCounts,
    ) -> None:
        self._journal = journal
        self._applier = applier
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self.counts = counts
        self.on_submit = Notice()

    async def refresh_counts(self) -> JournalCounts:
        """Count again, after something was settled or delivered."""
        self.counts = await self._store.run(self._journal.counts)
        return self.counts

    async def recent(self, state: MutationState | None, limit: int) -> list[MutationRecord]:
        return await self._store.run(self._journal.recent, state, limit)

    async def find(self, mutation_id: str) -> MutationRecord | None:
        return await self._store.run(self._journal.find, mutation_id)

    async def submit(self, op: str, params: Mapping[str, Json], requested_by: str) -> MutationRecord:
        """Raises `UnsupportedOperation`, `ParamsInvalid`, `JournalUnavailable`."""
        known = operation(op)
        known.check(params)
        now = self._clock.now()
        request = MutationRequest(f"loc_{self._new_id()}", op, dict(params), rfc3339(now), requested_by, "local")
        await self._store.run(self._journal.submit, request, known.lane, now)
        await self.refresh_counts()
        self.on_submit()
        return MutationRecord(request, known.lane, "pending", rfc3339(now))

    async def preview(self, op: str, params: Mapping[str, Json]) -> Preview:
        """Raises `UnsupportedOperation`, `ParamsInvalid`. A file that is broken now is the outcome, not an error."""
        known = operation(op)
        known.check(params)
        if known.apply is None:
            return Preview("applied", None, None)
        try:
            return await self._store.run(self._applier.preview, op, params)
        except DonmaiError as error:
            return Preview("failed", None, error.message)
