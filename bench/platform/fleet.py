"""Machines that a platform knows: put into its store by the store's own statements, and the requests they send."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import anyio
import psycopg
import redis

from donmai_daemon.clock import SystemClock
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.hosts import AdmissionRecord, Liveness
from donmai_daemon.platform.service.tokens import WORKER_SCOPE, Claims, Tokens
from donmai_daemon.platform.store.codec import milliseconds, stored_admission, stored_liveness
from donmai_daemon.platform.store.location import Directory, Location, Servers, open_store
from donmai_daemon.platform.store.scaled import sql as postgres_sql
from donmai_daemon.platform.store.sqlite import sql as sqlite_sql
from donmai_daemon.platform.store.sqlite.database import FILE

ORG = "acme"
_DIGEST = sha256(b"nothing changes here").hexdigest()
_PAGE = 1000
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Known:
    """One machine. The names are as random as real ones: indexes are hit all over."""

    worker_id: str
    host_id: str

    @classmethod
    def number(cls, number: int) -> Known:
        """The machine that always has this number."""
        return cls(*(f"{kind}_{sha256(f'{kind}{number}'.encode()).hexdigest()[:32]}" for kind in ("wkr", "host")))


def machines(count: int) -> list[Known]:
    return [Known.number(number) for number in range(count)]


def location_of(options: Sequence[str]) -> Location:
    """Where the data is that the options of `donmai platform` name."""
    values = dict(zip(options[::2], options[1::2], strict=True))
    if "--data-dir" in values:
        return Directory(Path(values["--data-dir"]))
    return Servers(Secret(values["--database-url"]), Secret(values["--redis-url"]))


def introduce(options: Sequence[str], known: Sequence[Known], *, waiting: bool = False) -> None:
    """Let the store, in which nothing is yet, know `known`: registered, each with a report and a first beat.

    With `waiting`, a mutation is queued for each of them that is not due for a day.
    """
    anyio.run(_create, options)
    location = location_of(options)
    if isinstance(location, Directory):
        with contextlib.closing(sqlite3.connect(location.path / FILE)) as connection, connection:
            for name, rows in _rows(known, waiting):
                connection.executemany(sqlite_sql.queries()[name], rows)
            beats = ({"host_id": one.host_id, "beat": stored_liveness(_liveness(one))} for one in known)
            connection.executemany(sqlite_sql.queries()["put_liveness"], beats)
        return
    with psycopg.connect(location.database_url.reveal()) as server, server.cursor() as cursor:
        for name, rows in _rows(known, waiting):
            cursor.executemany(postgres_sql.queries()[name], rows)
        server.commit()
        server.autocommit = True
        server.execute("ANALYZE")
    with contextlib.closing(redis.Redis.from_url(location.redis_url.reveal())) as client:
        for start in range(0, len(known), _PAGE):
            with client.pipeline(transaction=False) as commands:
                for one in known[start : start + _PAGE]:
                    commands.set(f"liveness:{one.host_id}", stored_liveness(_liveness(one)), px=_DAY_MS)
                    commands.zadd("liveness:seen", {one.host_id: milliseconds(datetime.now(UTC))})
                commands.execute()


async def _create(options: Sequence[str]) -> None:
    async with open_store(location_of(options)) as opened:
        await Tokens(opened.store, SystemClock(), Names(), timedelta(hours=1)).ensure_signing_key()


def tokens(options: Sequence[str], known: Sequence[Known]) -> list[str]:
    """A runtime token for each of `known`."""

    async def mint() -> list[str]:
        async with open_store(location_of(options)) as opened:
            made = Tokens(opened.store, SystemClock(), Names(), timedelta(hours=1))
            claims = (Claims(one.worker_id, ORG, one.host_id, (WORKER_SCOPE,)) for one in known)
            return [(await made.mint(claim)).token.reveal() for claim in claims]

    return anyio.run(mint)


def beat_of(seq: int, **fields: object) -> JsonObject:
    """What a daemon says while nothing happens."""
    return {
        "activeCount": 1,
        "maxSessions": 8,
        "allowlistHash": _DIGEST,
        "seq": seq,
        "status": "idle",
        "load": {"cpu": 12.5, "memory": 41.3},
        "loadAverage": {"one": 0.51, "five": 0.43, "fifteen": 0.4},
        "configDigest": _DIGEST,
        **fields,  # type: ignore[dict-item]  # what the caller adds is JSON
    }


def beat_request(known: Known, token: str, body: JsonObject, *, wait: int = 0) -> bytes:
    """The bytes that the daemon's client sends for a beat."""
    return post(
        f"/api/workers/{known.worker_id}/heartbeat", token, body, f"Prefer: wait={wait}\r\n" if wait else ""
    )


def post(path: str, bearer: str, body: JsonObject, more: str = "") -> bytes:
    """A POST with the headers of the daemon's client, and `more`."""
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:7735\r\nConnection: keep-alive\r\n"
        "User-Agent: donmai-daemon/1.0.0\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {bearer}\r\n{more}"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _rows(known: Sequence[Known], waiting: bool) -> Iterator[tuple[str, Iterator[dict[str, object]]]]:
    """For each statement, by name, the values of every machine."""
    report = AdmissionRecord(_DIGEST, "enumerated", ("alpha",), (("alpha", "https://github.com/acme/alpha.git"),))
    shared = {
        "org_id": ORG, "hostname": "machine", "version": "1.0.0", "region": None, "capacity": 8, "key_id": "key",
        "admission_digest": report.digest, "admission": stored_admission(report), "details": "{}",
        "at": milliseconds(datetime.now(UTC)),
    }  # fmt: skip
    for name in ("insert_host", "insert_worker"):
        yield (
            name,
            (
                {**shared, "host_id": one.host_id, "worker_id": one.worker_id, "machine_id": one.host_id}
                for one in known
            ),
        )
    yield "set_status_told", ({"id": one.host_id} for one in known)
    mutation = {
        "org_id": ORG, "op": "project.enable", "params": '{"id":"alpha"}', "requested_by": "key", "wire_bytes": 200,
        "created_at": shared["at"], "not_before": milliseconds(datetime.now(UTC)) + _DAY_MS, "undoes": None,
    }  # fmt: skip
    for_each = known if waiting else ()
    yield "insert_mutation", ({**mutation, "id": f"mut_{one.host_id}", "host_id": one.host_id} for one in for_each)


def _liveness(known: Known) -> Liveness:
    return Liveness(known.host_id, known.worker_id, datetime.now(UTC), seq=0, status="idle", max_sessions=8)
