"""What beats say about themselves: in memory, and now and then in the file for those who look from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from donmai_daemon.platform.records.hosts import Liveness, is_outdated
from donmai_daemon.platform.store.codec import liveness, stored_liveness, text
from donmai_daemon.platform.store.sqlite.database import Database, Transaction

_PAGE = 1000


class SqliteLiveness:
    """Implements `LivenessStore`. A process that serves reads the file once and then knows better than the file."""

    def __init__(self, database: Database, *, serving: bool) -> None:
        self._database = database
        self._serving = serving
        self._known: dict[str, Liveness] = self._stored() if serving else {}
        self._unwritten: set[str] = set()

    async def note(self, beat: Liveness, outdated_within: timedelta) -> bool:
        if is_outdated(beat, self._known.get(beat.host_id), outdated_within):
            return False
        self._known[beat.host_id] = beat
        self._unwritten.add(beat.host_id)
        return True

    async def liveness(self, host_ids: Sequence[str]) -> Mapping[str, Liveness]:
        known = self._known if self._serving else self._stored()
        return {host_id: known[host_id] for host_id in host_ids if host_id in known}

    def seen(self, since: datetime, before: datetime | None = None) -> int:
        """How many hosts sent their newest beat in this time."""
        return sum(
            since <= beat.seen_at and (before is None or beat.seen_at < before) for beat in self._known.values()
        )

    async def flush(self) -> None:
        """Write what has changed, a page a commit, so that others get their turn between.

        Raises `StoreUnavailable`; what is not written then is tried again the next time.
        """
        while self._unwritten:
            page = [self._known[host_id] for host_id in islice(self._unwritten, _PAGE)]
            await self._database.write(partial(_put, page=page))
            # Only what is still as it was written: a beat may have come while the disk was at it.
            self._unwritten -= {beat.host_id for beat in page if self._known[beat.host_id] is beat}

    def _stored(self) -> dict[str, Liveness]:
        rows = self._database.rows("all_liveness")
        return {text(row, "host_id"): liveness(text(row, "host_id"), text(row, "beat")) for row in rows}


def _put(transaction: Transaction, page: list[Liveness]) -> None:
    for beat in page:
        transaction.run("put_liveness", host_id=beat.host_id, beat=stored_liveness(beat))
