"""The scaled store by itself: several processes on one store, servers that are killed in mid-traffic, what is refused."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from tests.platform.conftest import Org, make_org
from tests.platform.test_held_beats import holding
from tests.platform.test_races import CLIENTS, race
from tests.support.platform import PARAMS, Answer, PlatformProcess, TestWorker, read_answer
from tests.support.servers import Postgres, RedisServer, Servers, own_servers
from tests.support.waiting import eventually

import donmai_daemon.platform.store.scaled as scaled_store
from donmai_daemon.model.json import Json
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnusable
from donmai_daemon.platform.store.location import Servers as ServerAddresses
from donmai_daemon.platform.store.location import open_store
from donmai_daemon.platform.store.scaled.sql import queries

OPTIONS = ("--rate-limit", "100000")
PATIENCE = 40.0


@dataclass(frozen=True)
class Pair:
    """Two processes on one store, and an organisation."""

    first: PlatformProcess
    second: PlatformProcess
    org: Org


@contextmanager
def pair_on(options: list[str], directory: Path) -> Iterator[Pair]:
    """Two processes on the store that the options name."""
    with (
        PlatformProcess(options, directory / "first.log", OPTIONS) as first,
        PlatformProcess(options, directory / "second.log", OPTIONS) as second,
    ):
        yield Pair(first, second, make_org(first, "acme"))


@pytest.fixture(scope="module")
def pair(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two processes on servers that stay."""
    with pair_on(servers.new_store(), tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@dataclass(frozen=True)
class Mortal:
    """Two processes on servers that may be killed."""

    pair: Pair
    postgres: Postgres
    redis: RedisServer


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    """Servers of this module only."""
    with own_servers() as (postgres, redis_server):
        options = Servers(postgres.url, redis_server.url).new_store()
        with pair_on(options, tmp_path_factory.mktemp("mortal")) as pair:
            yield Mortal(pair, postgres, redis_server)


def test_processes_that_start_together_share_one_store(servers: Servers, tmp_path: Path) -> None:
    """Three processes started at once on an empty database all serve, and a token of one is good at the others."""
    options = servers.new_store()
    with ExitStack() as stack, ThreadPoolExecutor(3) as starters:
        platforms = [PlatformProcess(options, tmp_path / f"{n}.log", OPTIONS) for n in range(3)]
        for platform in platforms:
            stack.callback(platform.stop)
        list(starters.map(lambda platform: platform.start(), platforms))
        worker = platforms[0].register(platforms[0].make_key("worker"))
        assert [platform.beat(worker).status for platform in platforms] == [200, 200, 200]


def test_a_mutation_is_cancelled_or_delivered_across_processes(pair: Pair) -> None:
    """In 160 races of a cancel at one process with a beat at another no mutation is both, and each side wins some."""
    workers = [pair.first.register(pair.org.worker, f"racer-{n}") for n in range(CLIENTS)]
    won = race(pair.first, pair.org, workers, rounds=20, beside=pair.second)
    assert sum(won.values()) == 160
    assert min(won.values()) > 0, won


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_mutation_is_cancelled_or_delivered_across_processes_always(pair: Pair) -> None:
    """In 5,200 of these races no mutation is both, and each side wins some."""
    workers = [pair.first.register(pair.org.worker, f"slow-racer-{n}") for n in range(CLIENTS)]
    won = race(pair.first, pair.org, workers, rounds=650, beside=pair.second)
    assert sum(won.values()) == 5200
    assert min(won.values()) > 0, won


def test_a_beat_held_here_is_woken_from_there(pair: Pair) -> None:
    """What is queued at one process, or by the operator, ends a beat that another process holds."""
    worker = pair.first.register(pair.org.worker, "held")
    pair.first.beat(worker)
    with holding(pair.first, worker) as held:
        mutation = pair.second.enqueue(pair.org.admin, worker.host_id)
        assert [m["id"] for m in held.result(PATIENCE).list_of("pendingMutations")] == [mutation["id"]]
    pair.first.beat(worker, appliedMutations=[mutation["id"]])
    with holding(pair.first, worker) as held:
        pair.first.operated("host", "status", worker.host_id, "pool_draining")
        assert held.result(PATIENCE).object_of("hostStatus")["status"] == "pool_draining"
    pair.first.operated("host", "status", worker.host_id, "ok")
    pair.first.beat(worker)
    with holding(pair.first, worker) as held:
        pair.second.call("POST", "/api/sessions", pair.org.member, {"projectId": "alpha"})
        assert held.result(PATIENCE).body["pendingWorkCount"] == 1


@dataclass
class Traffic:
    """Clients of both processes that go on whatever happens, and what they have been told."""

    pair: Pair
    accepted: list[tuple[str, str]] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    refused: list[Answer] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def drive(self, worker: TestWorker, platform: PlatformProcess) -> None:
        """Queue mutations, apply them, queue work, poll for it; until `stop`."""
        acks: list[Json] = []
        org = self.pair.org
        with httpx.Client(base_url=platform.url, trust_env=False, timeout=PATIENCE) as http:

            def call(method: str, path: str, bearer: str, body: Json = None) -> Answer | None:
                answer = read_answer(
                    http.request(method, path, headers={"Authorization": f"Bearer {bearer}"}, json=body)
                )
                if answer.status < 300:
                    return answer
                self.refused.append(answer)
                return None

            while not self.stop.is_set():
                body: Json = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS}
                if made := call("POST", "/api/daemon/mutations", org.admin, body):
                    self.accepted.append((worker.host_id, str(made.object_of("mutation")["id"])))
                beat: Json = {"activeCount": 0, "maxSessions": 500, "appliedMutations": acks}
                if beaten := call("POST", f"/api/workers/{worker.worker_id}/heartbeat", worker.token, beat):
                    self.settled.extend((worker.host_id, str(ack)) for ack in acks)
                    acks = [m["id"] for m in beaten.list_of("pendingMutations")]
                if put := call("POST", "/api/sessions", org.member, {"projectId": "alpha", "prompt": "p"}):
                    self.queued.append(put.text_of("sessionId"))
                if polled := call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token):
                    self.claimed.extend(str(item["sessionId"]) for item in polled.list_of("work"))


def endure(mortal: Mortal, machine: str, kill: Callable[[], None], revive: Callable[[], None]) -> Traffic:
    """Kill a server in mid-traffic, see both processes refuse, start it again, see both go on; what was told."""
    pair = mortal.pair
    traffic = Traffic(pair)
    workers = [pair.first.register(pair.org.worker, f"{machine}-{n}") for n in range(4)]
    platforms = [pair.first, pair.second] * 2
    with ThreadPoolExecutor(len(workers)) as clients:
        running = [clients.submit(traffic.drive, *each) for each in zip(workers, platforms, strict=True)]
        try:
            eventually(lambda: len(traffic.settled) > 20 and len(traffic.claimed) > 5)
            kill()
            eventually(lambda: len(traffic.refused) > 8)
            assert [p.call("GET", "/readyz").status for p in (pair.first, pair.second)] == [503, 503]
            revive()
            eventually(lambda: all(p.call("GET", "/readyz").status == 200 for p in (pair.first, pair.second)))
            accepted, claimed = len(traffic.accepted), len(traffic.claimed)
            eventually(lambda: len(traffic.accepted) > accepted + 20 and len(traffic.claimed) > claimed + 5)
        finally:
            traffic.stop.set()
        for each in running:
            each.result(PATIENCE)
    return traffic


def check(traffic: Traffic) -> None:
    """Whatever was acknowledged is there, and nothing was claimed twice."""
    first, org = traffic.pair.first, traffic.pair.org
    assert {answer.status for answer in traffic.refused} == {503}
    assert all(answer.headers["retry-after"] == "1" for answer in traffic.refused)
    for host_id, mutation in traffic.accepted:
        assert first.call("GET", f"/api/daemon/mutations/{mutation}", org.admin).status == 200, host_id
    for _, mutation in traffic.settled:
        shown = first.call("GET", f"/api/daemon/mutations/{mutation}", org.admin).object_of("mutation")
        assert shown["status"] == "applied"
    assert len(set(traffic.claimed)) == len(traffic.claimed)
    for session in traffic.queued:
        assert first.call("GET", f"/api/sessions/{session}/status", org.member).status == 200


def test_postgresql_may_die(mortal: Mortal) -> None:
    """Killed in mid-traffic: 503 with the reason, recovery without help, nothing acknowledged is lost."""
    server = mortal.postgres.process
    # SIGQUIT is its crash: no goodbye, no checkpoint, recovery from the log at the next start.
    traffic = endure(mortal, "postgres", lambda: server.end(signal.SIGQUIT), server.start)
    assert all("PostgreSQL" in answer.text_of("error") for answer in traffic.refused)
    check(traffic)


def test_redis_may_die(mortal: Mortal) -> None:
    """Killed in mid-traffic: 503 with the reason, recovery without help, nothing acknowledged is lost, no work given twice."""
    server = mortal.redis.process
    traffic = endure(mortal, "redis", lambda: server.end(signal.SIGKILL), server.start)
    assert all("Redis" in answer.text_of("error") for answer in traffic.refused)
    check(traffic)


def test_a_held_beat_outlives_redis(mortal: Mortal) -> None:
    """A beat held while Redis dies and comes back is answered with what was queued at another process meanwhile."""
    pair = mortal.pair
    worker = pair.first.register(pair.org.worker, "outlives")
    pair.first.beat(worker)
    with holding(pair.first, worker) as held:
        for _ in range(5):  # its own look at the store, which began before these, is over when they are
            assert pair.first.call("GET", "/readyz").status == 200
        mortal.redis.process.end(signal.SIGKILL)
        mutation = pair.second.enqueue(pair.org.admin, worker.host_id)
        mortal.redis.process.start()
        assert [m["id"] for m in held.result(PATIENCE).list_of("pendingMutations")] == [mutation["id"]]


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
def test_a_redis_that_forgets_is_warned_of(
    mortal: Mortal, tmp_path: Path, setting: str, bad: str, good: str
) -> None:
    """Sessions are kept in Redis, so a setting of it that loses some is named once in the log of `serve`, with the remedy."""
    client = redis.Redis.from_url(mortal.redis.url)
    client.config_set(setting, bad)
    try:
        with PlatformProcess(mortal.pair.first.store, tmp_path / "log") as platform:
            log = platform.log_text()
            assert log.count("redis.not_durable") == 1
            assert f"config set {setting} {good}" in log
    finally:
        client.config_set(setting, good)
        client.close()
    assert "redis.not_durable" not in mortal.pair.first.log_text()


def test_servers_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Without its servers `serve` ends at once with a line that says which is missing, and shows no password."""
    absent = [
        "--database-url",
        "postgresql://me:hunter2@127.0.0.1:9/x",
        "--redis-url",
        "redis://:hunter3@127.0.0.1:9/0",
    ]
    platform = PlatformProcess(absent, tmp_path / "log")
    with pytest.raises(AssertionError, match="PostgreSQL cannot be used"):
        platform.start()
    assert "hunter" not in platform.log_text()


def test_redis_that_is_not_there_is_named(servers: Servers, tmp_path: Path) -> None:
    """The same for Redis."""
    options = [*servers.new_store()[:2], "--redis-url", "redis://:hunter3@127.0.0.1:9/0"]
    platform = PlatformProcess(options, tmp_path / "log")
    with pytest.raises(AssertionError, match="Redis cannot be used"):
        platform.start()
    assert "hunter" not in platform.log_text()


@pytest.mark.parametrize("options", [["--database-url", "postgresql://h/d"], ["--redis-url", "redis://h"]])
def test_one_server_is_not_enough(options: list[str], tmp_path: Path) -> None:
    """One address without the other is a usage error that names both."""
    done = PlatformProcess(options, tmp_path / "log").operate("key", "list")
    assert done.returncode == 2
    assert "--database-url and --redis-url go together" in done.stderr


def test_missing_drivers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the drivers the scaled store is refused with the command that installs them."""
    for name in [name for name in sys.modules if name.startswith("donmai_daemon.platform.store.scaled.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnusable) as caught:
        open_store(ServerAddresses(Secret("postgresql://h/d"), Secret("redis://h")))
    assert "donmai-daemon[scale]" in str(caught.value.hint)


def test_a_newer_schema_is_left_alone(servers: Servers, tmp_path: Path) -> None:
    """A database of a newer version is refused."""
    options = servers.new_store()
    platform = PlatformProcess(options, tmp_path / "log")
    platform.make_key("admin")
    with psycopg.connect(options[1]) as connection:
        connection.execute("UPDATE donmai_schema SET version = 99")
    refused = platform.operate("key", "list")
    assert refused.returncode == 1
    assert "schema version 99" in refused.stderr


def test_every_statement_is_used() -> None:
    """Each named statement is asked for somewhere."""
    source = "".join(path.read_text("utf-8") for path in Path(scaled_store.__path__[0]).glob("*.py"))
    for name in queries():
        assert f'"{name}"' in source, f"{name} is used nowhere"


def test_addresses_from_the_environment(servers: Servers, tmp_path: Path) -> None:
    """Addresses with passwords need not stand on a command line; an embedded store that is named wins over them."""
    _, database, _, redis_url = servers.new_store()
    environ = {"DONMAI_DATABASE_URL": database, "DONMAI_REDIS_URL": redis_url}
    with PlatformProcess([], tmp_path / "log", OPTIONS, environ) as platform:
        worker = platform.register(platform.make_key("worker"))
        assert platform.beat(worker).status == 200
    named = PlatformProcess(["--data-dir", str(tmp_path / "own")], tmp_path / "log", OPTIONS, environ)
    named.make_key("admin")
    assert named.operated("host", "list") == {"hosts": []}
    half = PlatformProcess([], tmp_path / "log", OPTIONS, {"DONMAI_REDIS_URL": redis_url}).operate("key", "list")
    assert (half.returncode, "DONMAI_DATABASE_URL" in half.stderr) == (2, True)
