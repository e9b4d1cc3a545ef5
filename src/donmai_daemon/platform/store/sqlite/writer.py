"""The thread that writes: one at a time, in the order asked for, and as many in one commit as are waiting."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from donmai_daemon.platform.conditions import StoreUnavailable

T = TypeVar("T")
_MOST_IN_ONE_COMMIT = 256


class Writer:
    """Runs functions on the one connection that writes.

    Each gets a savepoint of its own, so one that fails takes back its own work and nobody else's. A commit costs a
    disk write whatever is in it, so those that wait while one is under way share the next. Nobody is answered before
    the commit. A caller that is cancelled leaves its work in the queue: it is done all the same, as with any server.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="platform-writer", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What `function` returns, once it is on disk. Raises `StoreUnavailable`, and what `function` raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        # The queue holds jobs of all kinds; each puts its own result into its own future.
        self._jobs.put(_Job(function, done, loop))  # type: ignore[arg-type]  # a queue of mixed jobs cannot be generic
        return await done

    def close(self) -> None:
        """Do what waits, then end. Blocking."""
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._commit(batch)
                _tell(batch)
            if last:
                return

    def _next_batch(self) -> tuple[list[_Job[object]], bool]:
        batch: list[_Job[object]] = []
        job = self._jobs.get()
        with contextlib.suppress(Empty):
            while job is not None:
                batch.append(job)
                if len(batch) >= _MOST_IN_ONE_COMMIT:
                    break
                job = self._jobs.get_nowait()
        return batch, job is None

    def _commit(self, batch: list[_Job[object]]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                connection.execute("SAVEPOINT job")
                try:
                    job.result = job.function(connection)
                except sqlite3.OperationalError:
                    raise  # the store's, not the job's: nothing in this commit can be relied on
                except Exception as error:  # noqa: BLE001 - it is the caller's, and is raised there
                    job.error = error
                    connection.execute("ROLLBACK TO job")
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # Disk full, I/O error, or a lock held by another process for longer than the busy timeout. Where it cannot
            # even be taken back, the next commit does not begin, and tries that again: this thread must not end.
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            for job in batch:
                job.error = StoreUnavailable(str(error))
                job.error.__cause__ = error


@dataclass(slots=True)
class _Job(Generic[T]):
    function: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]
    loop: asyncio.AbstractEventLoop
    result: T | None = field(default=None)
    error: Exception | None = None

    def tell(self) -> None:
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)  # type: ignore[arg-type]  # T itself may be None; there is no error, so it is set


def _tell(batch: list[_Job[object]]) -> None:
    def tell_all() -> None:
        for job in batch:
            job.tell()

    # The loop may be gone where a process ends in disorder; there is nobody to tell then.
    with contextlib.suppress(RuntimeError):
        batch[0].loop.call_soon_threadsafe(tell_all)
