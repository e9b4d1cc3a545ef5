"""The scaled store, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnavailable
from donmai_daemon.platform.store.opened import Opened, Serving
from donmai_daemon.platform.store.scaled.beats import ScaledBeats
from donmai_daemon.platform.store.scaled.census import ScaledCensus
from donmai_daemon.platform.store.scaled.database import Database
from donmai_daemon.platform.store.scaled.hosts import PostgresHosts
from donmai_daemon.platform.store.scaled.keys import PostgresKeys
from donmai_daemon.platform.store.scaled.liveness import RedisLiveness
from donmai_daemon.platform.store.scaled.mutations import PostgresMutations
from donmai_daemon.platform.store.scaled.redis_client import RedisClient
from donmai_daemon.platform.store.scaled.wakeups import RedisWakeups, SharedWakeups
from donmai_daemon.platform.store.scaled.work import RedisWork

_DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""Settings of Redis with which nothing that was answered is lost."""


class ScaledStore(
    PostgresKeys, PostgresHosts, ScaledBeats, PostgresMutations, RedisWork, RedisLiveness, ScaledCensus
):
    """Implements `Store`. Each base does one protocol; no transaction needs both servers."""

    def __init__(self, database: Database, redis: RedisClient) -> None:
        ScaledBeats.__init__(self, database, redis)
        RedisLiveness.__init__(self, redis)

    async def ready(self) -> None:
        await self._database.ready()
        await self._redis.do("SET", "ready", 1, "PX", 1000)


@asynccontextmanager
async def open_scaled(database_url: Secret, redis_url: Secret) -> AsyncIterator[Opened]:
    """Open the store for a verb. Raises `StoreUnusable`."""
    async with Database.open(database_url) as database, RedisClient.open(redis_url) as redis:
        yield Opened(ScaledStore(database, redis), RedisWakeups(redis))


@asynccontextmanager
async def serve_scaled(database_url: Secret, redis_url: Secret, clock: Clock) -> AsyncIterator[Serving]:
    """Open the store for one of the processes that answer beats. Raises `StoreUnusable`."""
    async with Database.open(database_url) as database, RedisClient.open(redis_url) as redis:
        await _warn_of_forgetting(redis)
        wakeups = SharedWakeups(redis)
        async with anyio.create_task_group() as tasks:
            await tasks.start(wakeups.listen_for_ever, clock)
            yield Serving(ScaledStore(database, redis), wakeups)
            tasks.cancel_scope.cancel()


async def _warn_of_forgetting(redis: RedisClient) -> None:
    """Sessions are in Redis only: what it does not log to disk, or throws away for want of memory, is lost."""
    for name, value in _DURABLE.items():
        try:
            found = cast("dict[str, str]", await redis.do("CONFIG", "GET", name)).get(name)
        except StoreUnavailable:
            return  # a hosted server that does not let itself be asked
        if found is not None and found != value:
            hint = f"redis-cli config set {name} {value}"
            structlog.get_logger("platform.store").warning(
                "redis.not_durable", setting=name, found=found, hint=hint
            )
