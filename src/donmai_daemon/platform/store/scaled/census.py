"""How much there is of everything on both servers, and who has beaten."""

from __future__ import annotations

from datetime import datetime

from donmai_daemon.platform.records.census import Census
from donmai_daemon.platform.store.codec import integer, milliseconds
from donmai_daemon.platform.store.scaled.database import Database
from donmai_daemon.platform.store.scaled.liveness import SEEN
from donmai_daemon.platform.store.scaled.redis_client import RedisClient


class ScaledCensus:
    """Implements `CensusStore`."""

    def __init__(self, database: Database, redis: RedisClient) -> None:
        self._database = database
        self._redis = redis

    async def census(self, online_since: datetime, stale_since: datetime) -> Census:
        # One SELECT without FROM: there is always a row.
        row = (await self._database.rows("census"))[0]
        online, stale = f"{milliseconds(online_since)}", f"{milliseconds(stale_since)}"
        await self._redis.do("ZREMRANGEBYSCORE", SEEN, "-inf", f"({stale}")  # offline is whoever is not in there
        return Census(
            hosts=integer(row, "hosts"),
            online=await self._redis.number("ZCOUNT", SEEN, online, "+inf"),
            stale=await self._redis.number("ZCOUNT", SEEN, stale, f"({online}"),
            pending=integer(row, "pending"),
            delivered=integer(row, "delivered"),
            queued=await self._redis.number("HLEN", "work:items"),
            claimed=await self._redis.number("ZCARD", "work:leases"),
        )
