"""How much there is of everything in the file, and who has beaten."""

from __future__ import annotations

from datetime import datetime

from donmai_daemon.platform.records.census import Census
from donmai_daemon.platform.store.codec import integer
from donmai_daemon.platform.store.sqlite.liveness import SqliteLiveness


class SqliteCensus(SqliteLiveness):
    """Implements `CensusStore`, for the process that serves."""

    async def census(self, online_since: datetime, stale_since: datetime) -> Census:
        # One SELECT without FROM: there is always a row.
        row = self._database.rows("census")[0]
        return Census(
            hosts=integer(row, "hosts"),
            online=self.seen(online_since),
            stale=self.seen(stale_since, online_since),
            pending=integer(row, "pending"),
            delivered=integer(row, "delivered"),
            queued=integer(row, "queued"),
            claimed=integer(row, "claimed"),
        )
