"""The embedded store, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.platform.conditions import StoreUnavailable
from donmai_daemon.platform.store.sqlite.database import Database
from donmai_daemon.platform.store.sqlite.hosts import SqliteHosts
from donmai_daemon.platform.store.sqlite.keys import SqliteKeys
from donmai_daemon.platform.store.sqlite.liveness import SqliteLiveness
from donmai_daemon.platform.store.sqlite.mutations import SqliteMutations

_FLUSH_SECONDS = 5.0


class SqliteStore(SqliteKeys, SqliteHosts, SqliteMutations, SqliteLiveness):
    """Implements `Store`. Each base does one protocol; all of them stand on one database."""

    def __init__(self, database: Database, *, serving: bool) -> None:
        SqliteLiveness.__init__(self, database, serving=serving)

    async def ready(self) -> None:
        await self._database.write(lambda _: None)


@asynccontextmanager
async def open_sqlite(directory: Path, clock: Clock, *, serving: bool) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`; `serving` for the one process that answers beats. Raises `StoreUnusable`."""
    database = Database.open(directory, exclusive=serving)
    try:
        store = SqliteStore(database, serving=serving)
        if not serving:
            yield store
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_flush_for_ever, store, clock)
            yield store
            tasks.cancel_scope.cancel()
        await store.flush()
    finally:
        database.close()


async def _flush_for_ever(store: SqliteStore, clock: Clock) -> None:
    log = structlog.get_logger("platform.store")
    while True:
        await clock.sleep(_FLUSH_SECONDS)
        try:
            await store.flush()
        except StoreUnavailable as error:
            log.warning("liveness.not_written", reason=error.cause)
