"""Query plans: what a statement reads must not grow with how many machines there are."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import psycopg
import pytest
from tests.support.servers import Servers

from donmai_daemon.model.json import Json
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.records.hosts import NewRegistration
from donmai_daemon.platform.records.mutations import MutationRecord
from donmai_daemon.platform.store.location import Servers as ServerAddresses
from donmai_daemon.platform.store.location import open_store
from donmai_daemon.platform.store.ports import Store
from donmai_daemon.platform.store.scaled import sql as postgres_sql
from donmai_daemon.platform.store.sqlite import sql as sqlite_sql
from donmai_daemon.platform.store.sqlite.database import FILE, Database

pytestmark = pytest.mark.anyio

HOSTS = 1000
NOW = datetime(2026, 11, 24, tzinfo=UTC)

READ_ALL = {
    "list_keys": "an operator's list",
    "sessions": "an operator's list, its newest rows",
    "signing_keys": "a handful, read when a token names one that is not known",
    "has_signing_key": "the same handful, at the start",
    "retire_signing_keys": "the same handful, when an operator rotates",
    "drop_signing_keys": "the same handful, when an operator rotates",
    "all_liveness": "once, at the start",
    "census": "counts for /metrics, from indexes alone",
}
"""Statements that may read a whole table, and why none of them is on the way of a beat or a poll."""


def test_sqlite_searches(tmp_path: Path) -> None:
    """No statement of the embedded store scans a table or an index, except those that are there to read all of it."""
    Database.open(tmp_path, exclusive=True).close()
    scans = {}
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        for name, statement in sqlite_sql.queries().items():
            values = dict.fromkeys(re.findall(r":(\w+)", statement))
            steps = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            found = [step for step in steps if re.match(r"SCAN (?!CONSTANT ROW|\(|\w+ VIRTUAL TABLE)", step)]
            if found:
                scans[name] = found
    assert set(scans) <= set(READ_ALL), scans


@pytest.fixture
async def many_hosts(servers: Servers) -> str:
    """The address of a database that knows a thousand machines, each with a mutation that waits."""
    options = servers.new_store()
    addresses = ServerAddresses(Secret(options[1]), Secret(options[3]))
    async with open_store(addresses) as opened, anyio.create_task_group() as tasks:
        for first in range(0, HOSTS, HOSTS // 8):
            tasks.start_soon(_introduce, opened.store, range(first, first + HOSTS // 8))
    with psycopg.connect(options[1], autocommit=True) as connection:
        connection.execute("ANALYZE")
    return options[1]


async def _introduce(store: Store, numbers: range) -> None:
    for n in numbers:
        registration = NewRegistration(
            worker_id=f"wkr_{n}", host_id=f"host_{n}", org_id="acme", key_id="key", machine_id=f"machine-{n}",
            hostname="machine", version=None, region=None, capacity=2, admission=None, details={}, at=NOW,
        )  # fmt: skip
        host_id = await store.register(registration)
        mutation = MutationRecord(
            f"mut_{n}", "acme", host_id, "project.enable", {"id": "alpha"}, "pending", "key", NOW, wire_bytes=200
        )
        assert await store.enqueue(mutation)


async def test_postgresql_searches(many_hosts: str) -> None:
    """With a thousand machines no statement reads all rows of a table or an index, except those that are there for it.

    The plans are the generic ones, which the server settles on for a statement that it is given again and again.
    """
    scans = {}
    with psycopg.connect(many_hosts, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, statement in postgres_sql.queries().items():
            plan = _generic_plan(connection, name, statement.decode())
            found = [node for node in _nodes(plan) if _reads_all(node)]
            if found:
                scans[name] = found
    assert set(scans) <= set(READ_ALL), scans


def _generic_plan(connection: psycopg.Connection[tuple[object, ...]], name: str, statement: str) -> Json:
    numbers: dict[str, int] = {}
    numbered = re.sub(r"%\((\w+)\)s", lambda value: f"${numbers.setdefault(value[1], len(numbers) + 1)}", statement)
    connection.execute(f"PREPARE {name} AS {numbered}".encode())
    nulls = f"({', '.join(['NULL'] * len(numbers))})" if numbers else ""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {name}{nulls}".encode()).fetchone()
    assert row is not None
    plan: Json = json.loads(json.dumps(row[0]))
    return plan


def _nodes(plan: Json) -> Iterator[dict[str, Json]]:
    if isinstance(plan, dict):
        if "Node Type" in plan:
            yield plan
        for value in plan.values():
            yield from _nodes(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from _nodes(value)


def _reads_all(node: dict[str, Json]) -> bool:
    """A scan of a table that has many rows here, or of an index from end to end."""
    whole_table = node["Node Type"] == "Seq Scan" and node["Relation Name"] in (
        "hosts",
        "workers",
        "mutations",
        "audit",
    )
    whole_index = "Index Name" in node and "Index Cond" not in node
    return whole_table or whole_index
