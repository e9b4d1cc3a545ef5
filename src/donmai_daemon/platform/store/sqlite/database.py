"""The SQLite file: opening, migrating, and the two ways into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from donmai_daemon.platform.conditions import StoreUnavailable, StoreUnusable
from donmai_daemon.platform.store.codec import Row
from donmai_daemon.platform.store.sqlite.sql import queries, versions
from donmai_daemon.platform.store.sqlite.writer import Writer

T = TypeVar("T")
FILE = "platform.db"

_WRITER_WAITS_MS = 5000
_READER_WAITS_MS = 250


class Statements:
    """The statements on a connection, by name."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, name: str, /, **values: object) -> int:
        """Execute the statement called `name`; the number of rows it changed."""
        return self._connection.execute(queries()[name], values).rowcount

    def rows(self, name: str, /, **values: object) -> list[Row]:
        return [dict(row) for row in self._connection.execute(queries()[name], values)]

    def row(self, name: str, /, **values: object) -> Row | None:
        found = self._connection.execute(queries()[name], values).fetchone()
        return None if found is None else dict(found)


class Transaction(Statements):
    """The statements of one transaction. Only ever seen by functions that the writer runs."""

    def audit(self, subject: str, at: int, by: str, came_from: str | None, went_to: str) -> None:
        """One row of the audit trail."""
        self.run("insert_audit", subject=subject, at=at, by=by, came_from=came_from, went_to=went_to)


class Database:
    """One connection that reads, on the event loop's own thread, and one that writes, on a thread of its own.

    Reads see every commit, of other processes too, so nothing is cached and a revocation is effective at once. They
    run where they are asked for: by primary key they take some 15 µs, less than handing them to a thread would, and in
    WAL mode no writer makes them wait.
    """

    def __init__(self, reader: sqlite3.Connection, writer: Writer, held: contextlib.ExitStack) -> None:
        """`held` closes both, and what else was opened for them."""
        self._reading = Statements(reader)
        self._writer = writer
        self._held = held

    @classmethod
    def open(cls, directory: Path, *, exclusive: bool) -> Database:
        """Open or create the file in `directory` (made 0700).

        `exclusive` is for `serve`: what beats say is kept in its memory, so there can be one at a time; other
        processes may write beside it. Raises `StoreUnusable`.
        """
        with contextlib.ExitStack() as held:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if exclusive:
                    held.callback(os.close, _lock(directory))
                path = directory / FILE
                # Made before SQLite makes it, so that there is no instant at which others can open it.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                _prepare(path)
                reader = held.enter_context(contextlib.closing(_connect(path, _READER_WAITS_MS)))
                reader.execute("PRAGMA query_only = ON")
                writer = Writer(_connect(path, _WRITER_WAITS_MS))
                held.callback(writer.close)
                return cls(reader, writer, held.pop_all())
            except (OSError, sqlite3.Error) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise StoreUnusable(
                    f"{directory / FILE} cannot be opened: {reason}",
                    hint="--data-dir names a directory that belongs to the user who serves",
                ) from error

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """What `function` returns, once it is on disk. Raises `StoreUnavailable`; nothing was recorded then."""
        return await self._writer.run(lambda connection: function(Transaction(connection)))

    def rows(self, name: str, /, **values: object) -> list[Row]:
        """The rows of a SELECT. Raises `StoreUnavailable`."""
        try:
            return self._reading.rows(name, **values)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def row(self, name: str, /, **values: object) -> Row | None:
        """The first row of a SELECT. Raises `StoreUnavailable`."""
        try:
            return self._reading.row(name, **values)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Do what waits, then close. Blocking."""
        self._held.close()


def _lock(directory: Path) -> int:
    """The lock of the one process that serves from `directory`. Raises `StoreUnusable` where another one has it."""
    lock = os.open(directory / "platform.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreUnusable(
            f"another donmai platform serves from {directory}", hint="end it, or name another --data-dir"
        ) from error
    return lock


def _connect(path: Path, busy_ms: int) -> sqlite3.Connection:
    # check_same_thread: the writer's connection is made here and used on its thread only.
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000, cached_statements=256
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _prepare(path: Path) -> None:
    """WAL mode and the newest schema. Processes that start together take turns."""
    connection = _connect(path, _WRITER_WAITS_MS)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        known = versions()
        connection.execute("BEGIN IMMEDIATE")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(known):
            raise StoreUnusable(
                f"{path} has schema version {version}, and this platform knows {len(known)}",
                hint="install the newer donmai-daemon again",
            )
        for name in list(known)[version:]:
            for statement in _statements(known[name]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {int(name)}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def _statements(script: str) -> list[str]:
    """The statements of one version. `executescript` would commit the transaction that makes starting together safe."""
    found: list[str] = []
    piece = ""
    for line in script.splitlines():
        piece += line + "\n"
        if sqlite3.complete_statement(piece):
            found.append(piece)
            piece = ""
    return found
