"""The least that a beat could cost: the same bytes answered by a bare route, and the store asked by nobody but a loop."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis
from bench.api import free_port

ROUTE = """
import functools, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from donmai_daemon.platform.http.protocol import PlatformProtocol
answer = open(sys.argv[2], "rb").read()
async def beat(request):
    await request.body()
    return Response(answer, media_type="application/json")
app = Starlette(routes=[Route("/api/workers/{worker}/heartbeat", beat, methods=["POST"])])
http = functools.partial(PlatformProtocol, arrival=30) if sys.argv[3] == "ours" else sys.argv[3]
uvicorn.run(app, port=int(sys.argv[1]), http=http, loop="asyncio", ws="none", lifespan="off", access_log=False, log_level="error",
    timeout_keep_alive=75)
"""
_TIMES = 2000


@contextmanager
def bare_route(place: Path, protocol: str) -> Iterator[tuple[int, str]]:
    """A starlette route that reads a beat's body and answers what the platform does; its process and its address.

    `protocol`: "ours" is the platform's, else one of uvicorn's.
    """
    sample = place / "answer.json"
    sample.write_bytes(
        b'{"acknowledged":true,"serverTime":"2026-11-24T09:00:00.000Z","pendingWorkCount":0,"hostStatus":{"status":"ok"},'
        b'"pendingMutations":[],"heldBeats":true}'
    )
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", ROUTE, str(port), str(sample), protocol]) as process:
        try:
            yield process.pid, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def sqlite_floors(file: Path, worker_id: str) -> Iterator[tuple[str, float]]:
    """One read by primary key and one durable write of one row, CPU microseconds of this thread."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, value INTEGER)")
        connection.execute("INSERT INTO floor VALUES (1, 0)")
        read = "SELECT host_id FROM workers WHERE id = ?"
        yield "SQLite, a row by its key", micros(lambda: connection.execute(read, (worker_id,)).fetchone())
        write = "UPDATE floor SET value = value + 1"
        yield "SQLite, a durable write", micros(lambda: connection.execute(write))
        connection.execute("DROP TABLE floor")


def server_floors(database_url: str, redis_url: str, worker_id: str) -> Iterator[tuple[str, float]]:
    """One round trip to each server with the drivers that the platform uses, CPU microseconds of this thread."""

    async def rows() -> float:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            begun = time.thread_time()
            for _ in range(_TIMES):
                found = await connection.execute("SELECT host_id FROM workers WHERE id = %s", [worker_id])
                await found.fetchone()
            return (time.thread_time() - begun) / _TIMES * 1e6

    yield "PostgreSQL, a row by its key", asyncio.run(rows())
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        yield "Redis, a key set", micros(lambda: client.set("floor", 1, px=1000))


def micros(action: Callable[[], object]) -> float:
    """CPU microseconds of this thread for one of many."""
    begun = time.thread_time()
    for _ in range(_TIMES):
        action()
    return (time.thread_time() - begun) / _TIMES * 1e6
