"""PostgreSQL: the pool of connections, transactions on it, and the schema."""

from __future__ import annotations

import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnavailable, StoreUnusable
from donmai_daemon.platform.store.codec import Row
from donmai_daemon.platform.store.scaled.sql import queries, versions

T = TypeVar("T")
Connection: TypeAlias = psycopg.AsyncConnection[DictRow]

_MOST_CONNECTIONS = 16
_WAIT_SECONDS = 3.0
"""How long a request waits for a connection, and how long the pool tries to make one before it waits to be asked again."""
_MIGRATION_LOCK = 0x646F6E6D6169
"""Any number that nobody else uses in this database: "donmai"."""
_CONNECTION = {
    "autocommit": True,
    "connect_timeout": 3,
    # A server that is gone without a word is noticed within 20 s.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "application_name": "donmai-platform",
}


class Transaction:
    """The statements of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(self, name: str, /, **values: object) -> int:
        """Execute the statement called `name`; the number of rows it changed."""
        return (await self._connection.execute(queries()[name], _storable(values))).rowcount

    async def rows(self, name: str, /, **values: object) -> list[Row]:
        return [*await (await self._connection.execute(queries()[name], _storable(values))).fetchall()]

    async def row(self, name: str, /, **values: object) -> Row | None:
        return await (await self._connection.execute(queries()[name], _storable(values))).fetchone()

    async def row_each(self, name: str, each: Sequence[Mapping[str, object]]) -> list[Row | None]:
        """Execute a statement that returns rows once for each of the values, all in one go; the first row of each."""
        found: list[Row | None] = []
        async with self._connection.cursor() as cursor:
            await cursor.executemany(queries()[name], [_storable(values) for values in each], returning=True)
            while len(found) < len(each):
                found.append(await cursor.fetchone())
                cursor.nextset()
        return found

    async def run_each(self, name: str, each: Sequence[Mapping[str, object]]) -> None:
        """Execute a statement once for each of the values, all in one go: 500 round trips would outlast a beat's deadline."""
        async with self._connection.cursor() as cursor:
            await cursor.executemany(queries()[name], [_storable(values) for values in each])

    async def audit(self, subject: str, at: int, by: str, came_from: str | None, went_to: str) -> None:
        """One row of the audit trail."""
        await self.audit_each([subject], at, by, came_from, went_to)

    async def audit_each(
        self, subjects: Sequence[str], at: int, by: str, came_from: str | None, went_to: str
    ) -> None:
        """One row of the audit trail for each of `subjects`."""
        shared = {"at": at, "by": by, "came_from": came_from, "went_to": went_to}
        await self.run_each("insert_audit", [{"subject": subject, **shared} for subject in subjects])


class Database:
    """A pool of connections. Every method raises `StoreUnavailable` while the server does not answer."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, url: Secret) -> AsyncIterator[Database]:
        """Connect to the server at `url`, and bring the schema up to date. Raises `StoreUnusable`."""
        pool = AsyncConnectionPool[Connection](
            url.reveal(),
            kwargs={**_CONNECTION, "row_factory": dict_row},
            configure=_configure,
            check=_check,
            min_size=1,
            max_size=_MOST_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_WAIT_SECONDS,
            open=False,
        )
        try:
            await _migrate(url)
            await pool.open(wait=True, timeout=_WAIT_SECONDS)
        except psycopg.Error as error:
            await pool.close()
            # What cannot be read as an address is not shown: it may hold a password.
            unreadable = isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None
            reason = "that is not its address" if unreadable else _reason(error)
            raise StoreUnusable(
                f"PostgreSQL cannot be used: {reason}",
                hint="--database-url postgresql://USER@HOST/DATABASE names a running server and a database of that user's",
            ) from error
        try:
            yield cls(pool)
        finally:
            await pool.close()

    async def write(self, function: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `function` returns, once it is committed."""
        async with self._connection() as connection, connection.transaction():
            return await function(Transaction(connection))

    async def rows(self, name: str, /, **values: object) -> list[Row]:
        """The rows of a SELECT."""
        async with self._connection() as connection:
            return await Transaction(connection).rows(name, **values)

    async def row(self, name: str, /, **values: object) -> Row | None:
        """The first row of a SELECT."""
        async with self._connection() as connection:
            return await Transaction(connection).row(name, **values)

    async def ready(self) -> None:
        """Return where the server takes writes."""
        row = await self.row("is_standby")
        if row is None or row["standby"]:
            raise StoreUnavailable("PostgreSQL takes no writes: it is a standby")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise StoreUnavailable("PostgreSQL does not answer") from error
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction) as error:
            raise StoreUnavailable(f"PostgreSQL: {_reason(error)}") from error


async def _configure(connection: Connection) -> None:
    """Nothing waits for ever, neither for an answer nor for a lock; and a statement is planned once.

    Each has one good plan whatever its values are, and to plan costs ten times as much as to look up a row.
    """
    await connection.execute(
        "SELECT set_config('statement_timeout', '10000', false), set_config('lock_timeout', '5000', false), "
        "set_config('plan_cache_mode', 'force_generic_plan', false)"
    )


async def _check(connection: Connection) -> None:
    """Refuse a connection that its server has closed. No question is asked: a good one that is idle has nothing to read."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await connection.close()  # else the pool would take it back
        raise psycopg.OperationalError("the server closed the connection")


async def _migrate(url: Secret) -> None:
    """Bring the schema to the newest version. Processes that start together take turns."""
    connection = await psycopg.AsyncConnection.connect(
        url.reveal(), autocommit=True, connect_timeout=3, application_name="donmai-platform"
    )
    async with connection:
        known = versions()
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
            await connection.execute("CREATE TABLE IF NOT EXISTS donmai_schema (version INTEGER NOT NULL)")
            found = await (await connection.execute("SELECT max(version) FROM donmai_schema")).fetchone()
            version = int(found[0] or 0) if found else 0
            if version > len(known):
                raise StoreUnusable(
                    f"the database has schema version {version}, and this platform knows {len(known)}",
                    hint="install the newer donmai-daemon again",
                )
            for name in list(known)[version:]:
                await connection.execute(known[name])
                await connection.execute("INSERT INTO donmai_schema (version) VALUES (%s)", [int(name)])


def _storable(values: Mapping[str, object]) -> dict[str, object]:
    """The values of a statement. PostgreSQL's TEXT takes every character but U+0000, which a machine may well report."""
    return {
        name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
        for name, value in values.items()
    }


def _reason(error: Exception) -> str:
    """The first line: what follows it is advice to the owner of the server."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
