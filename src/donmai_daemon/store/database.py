"""The journal's SQLite file: opening, migrating, transactions, and what happens when it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from donmai_daemon.errors import DonmaiError, JournalUnavailable
from donmai_daemon.store.atomic import Step, fsync_directory, no_step
from donmai_daemon.store.sql import queries, versions

_ASIDE = ".damaged-"


class JournalTooNew(DonmaiError):  # noqa: N818 - a condition
    """The journal was written by a newer version."""

    code = "journal_too_new"


class Database:
    """One connection, WAL, synchronous FULL: a transaction that was left without an error survives a power failure.

    Blocking; used from one thread at a time (the store thread).
    """

    def __init__(self, connection: sqlite3.Connection, step: Step = no_step) -> None:
        self._connection = connection
        self._step = step

    @classmethod
    def open(cls, path: Path, now: datetime, step: Step = no_step) -> Database:
        """Open or create the file, 0600. A damaged one is set aside under a name that says so, never emptied.

        Raises `JournalTooNew`, `JournalUnavailable`.
        """
        try:
            return cls(_connect(path), step)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and path.exists():  # never what CORRUPT and NOTADB raise
                raise JournalUnavailable(str(error), full=_full(error)) from error
            stamp = now.strftime("%Y%m%dT%H%M%SZ")
            for suffix in ("", "-wal", "-shm"):
                piece = path.with_name(path.name + suffix)
                if piece.exists():
                    piece.rename(path.with_name(f"{path.name}{_ASIDE}{stamp}{suffix}"))
            fsync_directory(path.parent)
            return cls(_connect(path), step)

    @contextlib.contextmanager
    def transaction(self, name: str) -> Iterator[None]:
        """All or nothing, on disk at the end. Raises `JournalUnavailable`; then nothing was recorded."""
        self._step(f"journal.{name}.begin")
        try:
            if self._connection.in_transaction:  # one that failed, and could not be taken back then
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._step(f"journal.{name}.commit")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise JournalUnavailable(str(error), full=_full(error)) from error
        self._step(f"journal.{name}.committed")

    def run(self, name: str, /, **values: object) -> int:
        """Execute the statement called `name`; the number of rows it changed. Inside a transaction."""
        return self._connection.execute(queries()[name], values).rowcount

    def insert(self, name: str, /, **values: object) -> int:
        """Execute an INSERT; the new row's number."""
        return self._connection.execute(queries()[name], values).lastrowid or 0

    def rows(self, name: str, /, **values: object) -> list[Mapping[str, str | int | None]]:
        """The rows of a SELECT. Raises `JournalUnavailable`."""
        try:
            return [dict(row) for row in self._connection.execute(queries()[name], values)]
        except sqlite3.Error as error:
            raise JournalUnavailable(str(error), full=_full(error)) from error

    def close(self) -> None:
        self._connection.close()


def damaged_files(path: Path) -> list[Path]:
    """Journals that were set aside beside `path` and are still there."""
    return sorted(
        piece for piece in path.parent.glob(f"{path.name}{_ASIDE}*") if not piece.name.endswith(("-wal", "-shm"))
    )


def _connect(path: Path) -> sqlite3.Connection:
    # Made before SQLite makes it, so that there is no instant at which others can open it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    # check_same_thread: the store thread is one thread at a time, but not for ever the same one.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -512")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    fsync_directory(path.parent)
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    known = versions()
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(known):
        raise JournalTooNew(
            f"the journal has schema version {version}, and this daemon knows {len(known)}",
            hint="install the newer donmai-daemon again",
        )
    for name in list(known)[version:]:
        connection.executescript(f"BEGIN;\n{known[name]}\nPRAGMA user_version = {int(name)};\nCOMMIT;")


def _full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
