"""The embedded store by itself: one server a directory, commits shared and yet separate, damage told."""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from tests.support.ailing import Ailing
from tests.support.platform import PlatformProcess

import donmai_daemon.platform.store.sqlite as sqlite_store
from donmai_daemon.platform.conditions import StoreUnavailable, StoreUnusable
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.store.sqlite.database import Database, Transaction
from donmai_daemon.platform.store.sqlite.keys import SqliteKeys
from donmai_daemon.platform.store.sqlite.sql import queries
from donmai_daemon.platform.store.sqlite.writer import Writer

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def key(identifier: str) -> KeyRecord:
    """A key record."""
    return KeyRecord(identifier, "acme", "admin", None, "rsk_live_…", NOW, "test")


async def test_a_failing_write_takes_back_its_own_work_only(tmp_path: Path) -> None:
    """Of writes that share a commit, one that fails after it wrote leaves no trace, and the others are kept."""
    database = Database.open(tmp_path, exclusive=True)
    keys = SqliteKeys(database)
    failed: list[str] = []

    def spoil(transaction: Transaction) -> None:
        transaction.audit("spoilt", 0, "test", None, "made")
        raise ValueError("no")

    async def fail() -> None:
        try:
            await database.write(spoil)
        except ValueError as error:
            failed.append(str(error))

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(keys.add_key, key(f"key_{n}"), f"digest-{n}")
            tasks.start_soon(fail)
    assert failed == ["no"] * 20
    assert len(await keys.keys(None)) == 20
    assert database.rows("trail", subject="spoilt") == []
    database.close()


async def test_a_broken_constraint_is_not_the_others_problem(tmp_path: Path) -> None:
    """A duplicate is refused to the one who asked for it, and no one else."""
    database = Database.open(tmp_path, exclusive=True)
    keys = SqliteKeys(database)
    outcomes: list[str] = []

    async def add(identifier: str) -> None:
        try:
            await keys.add_key(key(identifier), identifier)
        except sqlite3.IntegrityError:
            outcomes.append("refused")
        else:
            outcomes.append("kept")

    async with anyio.create_task_group() as tasks:
        for identifier in ("a", "a", "b"):
            tasks.start_soon(add, identifier)
    assert sorted(outcomes) == ["kept", "kept", "refused"]
    database.close()


async def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    """While SQLite cannot grow, writes fail as unavailable and reads go on; afterwards writes work again."""
    database = Database.open(tmp_path, exclusive=True)
    keys = SqliteKeys(database)
    await keys.add_key(key("before"), "before")

    def limit(pages: int) -> None:
        # The limit is the connection's own, so it has to be the one that writes.
        database._writer._connection.execute(f"PRAGMA max_page_count = {pages}")

    limit(1)
    with pytest.raises(StoreUnavailable):
        await keys.add_key(KeyRecord("big", "acme", "admin", "x" * 200_000, "p", NOW, "test"), "big")
    assert [found.id for found in await keys.keys(None)] == ["before"]
    limit(1_000_000)
    await keys.add_key(key("after"), "after")
    assert [found.id for found in await keys.keys(None)] == ["after", "before"]
    database.close()


async def test_the_writer_outlives_a_commit_that_cannot_be_taken_back(tmp_path: Path) -> None:
    """Those it was for are told, whoever comes while it is undone is too, and then writes work again."""
    connection = sqlite3.connect(tmp_path / "file", isolation_level=None, check_same_thread=False, factory=Ailing)
    connection.execute("CREATE TABLE kept (number INTEGER)")
    writer = Writer(connection)

    def put(number: int) -> Callable[[sqlite3.Connection], object]:
        return lambda connection: connection.execute("INSERT INTO kept VALUES (?)", [number])

    with anyio.fail_after(20):
        for number in range(2):
            with pytest.raises(StoreUnavailable):
                await writer.run(put(number))
        await writer.run(put(2))
        assert await writer.run(lambda connection: connection.execute("SELECT * FROM kept").fetchall()) == [(2,)]
    writer.close()


async def test_another_process_sees_and_is_seen(tmp_path: Path) -> None:
    """What a second opening of the file writes is read by the first at once, and the other way round."""
    serving = Database.open(tmp_path, exclusive=True)
    beside = Database.open(tmp_path, exclusive=False)
    await SqliteKeys(beside).add_key(key("k"), "digest")
    assert await SqliteKeys(serving).key_by_digest("digest") is not None
    await SqliteKeys(serving).revoke_key("k", NOW, "test")
    assert await SqliteKeys(beside).key_by_digest("digest") is None
    beside.close()
    serving.close()


def test_one_process_serves_a_directory(tmp_path: Path) -> None:
    """A second `serve` on the same directory is refused with a line that says so."""
    second = PlatformProcess.embedded(tmp_path)
    with (
        PlatformProcess.embedded(tmp_path),
        pytest.raises(AssertionError, match="another donmai platform serves from"),
    ):
        second.start()


def test_files_are_private(tmp_path: Path) -> None:
    """The directory is 0700 and everything in it 0600."""
    Database.open(tmp_path / "data", exclusive=True).close()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for file in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """A file of a newer version is refused and not touched."""
    Database.open(tmp_path, exclusive=True).close()
    with sqlite3.connect(tmp_path / "platform.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnusable, match="schema version 99"):
        Database.open(tmp_path, exclusive=True)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that is no SQLite database is refused with a reason, and stays as it is."""
    (tmp_path / "platform.db").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        Database.open(tmp_path, exclusive=False)
    assert (tmp_path / "platform.db").read_bytes().startswith(b"not a database")


def test_every_statement_is_used_and_compiles(tmp_path: Path) -> None:
    """Each named statement is asked for somewhere, and SQLite accepts it against the schema."""
    folder = Path(sqlite_store.__path__[0])
    source = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    Database.open(tmp_path, exclusive=True).close()
    connection = sqlite3.connect(tmp_path / "platform.db")
    for name, statement in queries().items():
        assert f'"{name}"' in source, f"{name} is used nowhere"
        connection.execute(f"EXPLAIN {statement}", dict.fromkeys(re.findall(r":(\w+)", statement)))
    connection.close()
