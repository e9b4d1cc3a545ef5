"""The embedded store, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.platform.conditions import StoreUnavailable
from donmai_daemon.platform.store.opened import Opened, Serving
from donmai_daemon.platform.store.sqlite.beats import SqliteBeats
from donmai_daemon.platform.store.sqlite.census import SqliteCensus
from donmai_daemon.platform.store.sqlite.database import Database
from donmai_daemon.platform.store.sqlite.hosts import SqliteHosts
from donmai_daemon.platform.store.sqlite.keys import SqliteKeys
from donmai_daemon.platform.store.sqlite.mutations import SqliteMutations
from donmai_daemon.platform.store.sqlite.nudges import Nudges, receive_nudges
from donmai_daemon.platform.store.sqlite.work import SqliteWork
from donmai_daemon.platform.wakeups import LocalWakeups

_FLUSH_SECONDS = 5.0


class SqliteStore(SqliteKeys, SqliteHosts, SqliteBeats, SqliteMutations, SqliteWork, SqliteCensus):
    """Implements `Store`. Each base does one protocol; all of them stand on one database."""

    def __init__(self, database: Database, *, serving: bool) -> None:
        SqliteCensus.__init__(self, database, serving=serving)

    async def ready(self) -> None:
        await self._database.write(lambda _: None)


@asynccontextmanager
async def open_sqlite(directory: Path) -> AsyncIterator[Opened]:
    """Open the store in `directory`, beside the process that serves or without one. Raises `StoreUnusable`."""
    database = Database.open(directory, exclusive=False)
    try:
        yield Opened(SqliteStore(database, serving=False), Nudges(directory))
    finally:
        database.close()


@asynccontextmanager
async def serve_sqlite(directory: Path, clock: Clock) -> AsyncIterator[Serving]:
    """Open the store in `directory` for the one process that answers beats. Raises `StoreUnusable`."""
    database = Database.open(directory, exclusive=True)
    try:
        store, wakeups = SqliteStore(database, serving=True), LocalWakeups()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_flush_for_ever, store, clock)
            tasks.start_soon(receive_nudges, directory, wakeups)
            yield Serving(store, wakeups)
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
