"""Held beats: `Prefer: wait`, and what ends the wait (2.3)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from tests.platform.conftest import Org, make_org
from tests.support.platform import Answer, PlatformProcess, TestWorker

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json

LONG = 25.0


def held_now(platform: PlatformProcess) -> int:
    """How many beats the process holds."""
    text = platform.call("GET", "/metrics").text
    return int(
        next(line for line in text.splitlines() if line.startswith("donmai_platform_held_beats ")).split()[1]
    )


@contextmanager
def holding(
    platform: PlatformProcess, worker: TestWorker, wait: float = LONG, status: str = "idle", active: int = 0
) -> Iterator[Future[Answer]]:
    """A beat of the worker that the platform holds by the time the body runs; it has been answered at the end."""
    before = held_now(platform)
    with ThreadPoolExecutor(1) as client:
        future = client.submit(lambda: platform.beat(worker, wait=wait, status=status, activeCount=active))
        while held_now(platform) <= before:
            assert not future.done(), "it was answered at once"
        yield future
        future.result(LONG)


def ids(answer: Answer) -> list[Json]:
    """The mutations of an answer."""
    assert answer.status == 200, answer.text
    return [mutation["id"] for mutation in answer.list_of("pendingMutations")]


def test_a_mutation_ends_the_wait(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """What is queued while a beat is held is in its answer at once, and is stamped delivered then."""
    platform.beat(worker)
    with holding(platform, worker) as beat:
        begun = time.monotonic()
        mutation = platform.enqueue(org.admin, worker.host_id)
        answer = beat.result(LONG)
    assert ids(answer) == [mutation["id"]]
    assert time.monotonic() - begun < LONG / 2
    assert answer.headers["Preference-Applied"] == f"wait={LONG:g}"
    assert platform.mutation(org.admin, worker.host_id, str(mutation["id"]))["status"] == "delivered"


def test_what_waits_already_is_answered_at_once(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A beat that finds a mutation never delivered is not held."""
    mutation = platform.enqueue(org.admin, worker.host_id)
    assert ids(platform.beat(worker, wait=LONG)) == [mutation["id"]]


def test_redeliveries_ride_along_and_end_no_wait(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """What was delivered before does not end a wait, and comes with the answer when it ends."""
    first = platform.enqueue(org.admin, worker.host_id)["id"]
    platform.beat(worker)
    with holding(platform, worker) as beat:
        second = platform.enqueue(org.admin, worker.host_id)["id"]
        assert ids(beat.result(LONG)) == [first, second]
    with holding(platform, worker, wait=1) as beat:
        assert ids(beat.result(LONG)) == [first, second]


def test_the_wait_ends_by_itself(platform: PlatformProcess, worker: TestWorker) -> None:
    """With no news the answer comes when the wait is over, and is a usual one."""
    platform.beat(worker)
    begun = time.monotonic()
    answer = platform.beat(worker, wait=1)
    assert time.monotonic() - begun >= 0.9
    assert answer.body["acknowledged"] is True
    assert ids(answer) == []


@pytest.mark.parametrize("prefer", ["wait=0", "respond-async", "wait=soon", "wait", "await=20", ""])
def test_what_asks_for_no_wait_gets_none(platform: PlatformProcess, worker: TestWorker, prefer: str) -> None:
    """Preferences that name no wait are ignored."""
    path = f"/api/workers/{worker.worker_id}/heartbeat"
    platform.beat(worker)
    answer = platform.call("POST", path, worker.token, {}, headers={"Prefer": prefer}, timeout=10)
    assert "Preference-Applied" not in answer.headers


def test_acks_and_reports_are_not_held(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A beat with acks or with a full report is answered at once, whatever it prefers."""
    mutation = platform.enqueue(org.admin, worker.host_id)["id"]
    platform.beat(worker)
    begun = time.monotonic()
    platform.beat(worker, wait=LONG, appliedMutations=[mutation])
    platform.beat(worker, wait=LONG, allowlist=[], enabledProjectIds=[], projectAdmissionMode="enumerated")
    assert time.monotonic() - begun < LONG / 2


def test_its_state_is_kept_on_arrival(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """What a held beat says is seen while it is held."""
    platform.beat(worker, activeCount=0)
    with holding(platform, worker, active=2):
        host = next(h for h in platform.hosts(org.admin) if h["workerHostId"] == worker.host_id)
        assert host["activeCount"] == 2
        platform.enqueue(org.admin, worker.host_id)


def test_a_newer_beat_ends_the_older_one(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """The older beat is answered without mutations; what comes goes to the newer one."""
    platform.beat(worker)
    with holding(platform, worker) as older:
        newer = platform.beat(worker)
        answer = older.result(LONG)
    assert newer.status == 200
    assert ids(answer) == []
    with holding(platform, worker) as older, ThreadPoolExecutor(1) as client:
        future = client.submit(lambda: platform.beat(worker, wait=LONG))
        assert ids(older.result(LONG)) == []
        mutation = platform.enqueue(org.admin, worker.host_id)["id"]
        assert ids(future.result(LONG)) == [mutation]


def test_a_host_status_change_ends_the_wait(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A change of host status, made by another process, ends the wait; the same status again does not."""
    platform.beat(worker)
    with holding(platform, worker) as beat:
        platform.operated("host", "status", worker.host_id, "pool_paused")
        assert beat.result(LONG).body["hostStatus"] == {"status": "pool_paused"}
    with holding(platform, worker) as beat:
        platform.operated("host", "status", worker.host_id, "pool_paused")
        mutation = platform.enqueue(org.admin, worker.host_id)["id"]
        assert ids(beat.result(LONG)) == [mutation]


def test_work_ends_the_wait_of_an_idle_host(platform: PlatformProcess) -> None:
    """New work, also from another process, ends the wait of idle hosts, and its number is told; a busy one waits on."""
    org = make_org(platform, "held-work")
    idle, busy = platform.register(org.worker, "idle"), platform.register(org.worker, "busy")
    platform.beat(idle)
    platform.beat(busy)
    with holding(platform, busy, status="busy") as waiting, holding(platform, idle) as beat:
        platform.call("POST", "/api/sessions", org.member, {"projectId": "p"})
        assert beat.result(LONG).body["pendingWorkCount"] == 1
        assert not waiting.done()
        platform.enqueue(org.admin, busy.host_id)
    with holding(platform, idle) as beat:
        platform.operated("work", "enqueue", "--org", org.name, "--project", "p")
        assert beat.result(LONG).body["pendingWorkCount"] == 2


def test_not_before_ends_the_wait_when_it_comes(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A mutation queued for later ends the held beat when its time has come, and not before."""
    platform.beat(worker)
    with holding(platform, worker) as beat:
        due = datetime.now(UTC) + timedelta(seconds=1)
        mutation = platform.enqueue(org.admin, worker.host_id, notBefore=rfc3339(due))
        assert ids(beat.result(LONG)) == [mutation["id"]]
    assert datetime.now(UTC) >= due


def test_a_superseded_worker_is_told_at_once(platform: PlatformProcess, org: Org) -> None:
    """When the machine registers again, the held beat of its former worker ends with 404."""
    former = platform.register(org.worker, "held-former")
    platform.beat(former)
    with holding(platform, former) as beat:
        platform.register(org.worker, "held-former")
        assert beat.result(LONG).status == 404


def test_a_client_that_leaves_takes_nothing_with_it(
    platform: PlatformProcess, org: Org, worker: TestWorker
) -> None:
    """After the connection of a held beat is cut nothing is delivered to it: a mutation can still be cancelled."""
    platform.beat(worker)
    before = held_now(platform)
    address = platform.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as connection:
        head = f"POST /api/workers/{worker.worker_id}/heartbeat HTTP/1.1\r\nHost: x\r\nPrefer: wait={LONG:g}\r\n"
        connection.sendall(f"{head}Authorization: Bearer {worker.token}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        while held_now(platform) <= before:
            pass
    while held_now(platform) > before:
        pass
    mutation = platform.enqueue(org.admin, worker.host_id)["id"]
    assert platform.cancel(org.admin, str(mutation)).status == 200


def test_many_beats_are_held_at_once(platform: PlatformProcess, org: Org) -> None:
    """120 held beats cost other requests nothing, and each gets its own mutation."""
    workers = [platform.register(org.worker, f"crowd-{n}") for n in range(120)]
    before = held_now(platform)
    connections: list[socket.socket] = []
    address = platform.url.removeprefix("http://").split(":")
    for worker in workers:
        connection = socket.create_connection((address[0], int(address[1])))
        connection.settimeout(LONG)
        head = f"POST /api/workers/{worker.worker_id}/heartbeat HTTP/1.1\r\nHost: x\r\nPrefer: wait={LONG:g}\r\n"
        # The first beat of a worker tells it the host status, which is news; the second one is held.
        for request in (head.replace(f"Prefer: wait={LONG:g}\r\n", ""), head):
            connection.sendall(
                f"{request}Authorization: Bearer {worker.token}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            )
            if request is not head:
                _read(connection)
        connections.append(connection)
    while held_now(platform) < before + 120:
        pass
    queued = [platform.enqueue(org.admin, worker.host_id)["id"] for worker in workers]
    for connection, mutation in zip(connections, queued, strict=True):
        assert str(mutation).encode() in _read(connection)
        connection.close()


def _read(connection: socket.socket) -> bytes:
    """One answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return body
