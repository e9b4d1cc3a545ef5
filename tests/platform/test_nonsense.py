"""What no honest client sends: it is refused or passed over, in one shape, and nobody else notices."""

from __future__ import annotations

import gzip
import json
import socket
from urllib.parse import urlsplit

import pytest
from tests.platform.conftest import Org
from tests.support.platform import PARAMS, PlatformProcess, TestWorker

from donmai_daemon.model.json import MAX_NESTING, Json, JsonObject
from donmai_daemon.platform.records.mutations import MAX_DELIVERED


def beat_path(worker: TestWorker) -> str:
    return f"/api/workers/{worker.worker_id}/heartbeat"


def nested(levels: int) -> bytes:
    """A list in a list in a list…"""
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "body",
    [
        b'{"activeCount": NaN}',
        b'{"load": {"cpu": 1e999}}',
        b'{"activeCount": 1' + b"0" * 5000 + b"}",
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": ' + nested(MAX_NESTING) + b"}",
        b'{"a": ' + nested(10_000) + b"}",
        gzip.compress(b"{}"),
    ],
    ids=["NaN", "infinite", "5,000 digits", "not UTF-8", "half a character", "65 levels", "10,001 levels", "gzip"],
)
def test_a_beat_that_is_no_json_is_refused(platform: PlatformProcess, worker: TestWorker, body: bytes) -> None:
    """400 with one error text, and the worker's next beat is taken."""
    refused = platform.call("POST", beat_path(worker), worker.token, body)
    assert refused.status == 400, refused.text
    assert set(refused.body) == {"error"}
    assert refused.headers["Content-Type"] == "application/json"
    assert platform.beat(worker).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"load": {"cpu": 1' + b"0" * 400 + b', "memory": -1e308}}',
        b'{"activeCount": 1' + b"0" * 400 + b', "seq": 1e30, "maxSessions": "2"}',
        b'{"activeCount": 1, "activeCount": {"a": []}}',
        b'{"a": ' + nested(MAX_NESTING - 1) + b"}",
        json.dumps({"conditions": [{"code": f"c{n}"} for n in range(20_000)]}).encode(),
        json.dumps({"enabledProjectIds": [{}, *map(str, range(20_000))], "allowlist": [[]] * 20_000}).encode(),
    ],
    ids=["load beyond floats", "counts of any size", "a name twice", "64 levels", "conditions", "projects"],
)
def test_a_beat_of_nonsense_is_answered(platform: PlatformProcess, worker: TestWorker, body: bytes) -> None:
    """Whatever is JSON is a beat: what cannot be understood in it is passed over."""
    answer = platform.call("POST", beat_path(worker), worker.token, body)
    assert answer.status == 200, answer.text
    assert answer.body["acknowledged"] is True


def test_acks_without_number_hold_nobody_up(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Of 100,000 acks the first 500 count; the rest is named in the log, and comes again from a daemon that means it."""
    first, last = (str(platform.enqueue(org.admin, worker.host_id)["id"]) for _ in range(2))
    platform.beat(worker)
    acks: list[Json] = [first, *(f"mut_{n}" for n in range(100_000)), last]
    answer = platform.beat(worker, appliedMutations=acks)
    assert [mutation["id"] for mutation in answer.list_of("pendingMutations")] == [last]
    assert platform.mutation(org.admin, worker.host_id, first)["status"] == "applied"
    assert f"{len(acks) - MAX_DELIVERED} acks too many" in platform.log_text()


@pytest.mark.parametrize("value", [b"1e999", b"-1e999", nested(MAX_NESTING - 1)], ids=["+", "-", "65 levels"])
def test_what_a_daemon_could_not_read_is_not_queued(
    platform: PlatformProcess, org: Org, worker: TestWorker, value: bytes
) -> None:
    """Neither in a mutation nor in work: one such value would make every later answer to that machine unreadable."""
    order: JsonObject = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS | {"more": "HERE"}}
    body = json.dumps(order).encode().replace(b'"HERE"', value)
    assert platform.call("POST", "/api/daemon/mutations", org.admin, body).status == 400
    item = b'{"projectId": "p", "env": {"more": ' + value + b"}}"
    assert platform.call("POST", "/api/sessions", org.admin, item).status == 400
    assert platform.mutations(org.admin, worker.host_id) == []


@pytest.mark.parametrize("identifier", ["a%2Fb", "..%2f..%2fkeys", "%00", "%ff%fe", "%2e%2e", "%25", "x" * 2000])
def test_an_id_is_one_segment_of_a_path(platform: PlatformProcess, org: Org, identifier: str) -> None:
    """Slashes, dots and bytes of any kind in an id lead nowhere else, however they are escaped."""
    for method, path in (
        ("GET", f"/api/daemon/mutations/{identifier}"),
        ("DELETE", f"/api/daemon/mutations/{identifier}"),
        ("POST", f"/api/daemon/mutations/{identifier}/undo"),
        ("GET", f"/api/sessions/{identifier}/status"),
        ("POST", f"/api/sessions/{identifier}/stop"),
    ):
        answer = platform.call(method, path, org.owner)
        assert answer.status == 404, (method, answer.text)
        assert set(answer.body) == {"error"}
        assert answer.headers["Content-Type"] == "application/json"


def test_every_route_names_its_methods(platform: PlatformProcess, org: Org) -> None:
    """Another method than a route has is 405 with those it has; HEAD is GET without a body."""
    paths = platform.call("GET", "/openapi.json").object_of("paths")
    for path, described in paths.items():
        assert isinstance(described, dict)
        known = {method.upper() for method in described}
        allowed = ", ".join(sorted(known | ({"HEAD"} if "GET" in known else set())))
        for method in {"OPTIONS", "PATCH", "PUT", "DELETE", "HEAD"} - {*allowed.split(", ")}:
            answer = platform.call(method, path.replace("{", "").replace("}", ""), org.owner)
            assert (answer.status, answer.headers["Allow"]) == (405, allowed)
            assert answer.body == ({} if method == "HEAD" else {"error": "method not allowed"})
    whole, head = (platform.call(method, "/api/daemon/hosts", org.owner) for method in ("GET", "HEAD"))
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == str(len(whole.text))


def test_requests_in_one_piece_are_answered_in_order(platform: PlatformProcess) -> None:
    """What is sent before the first answer has come is answered after it, a refusal between them as well."""
    address = urlsplit(platform.url)
    requests = b"".join(
        b"GET %b HTTP/1.1\r\nHost: platform\r\nX-Request-Id: %d\r\n%b\r\n" % (path, n, last)
        for n, (path, last) in enumerate(
            [(b"/healthz", b""), (b"/api/daemon/hosts", b""), (b"/healthz", b"Connection: close\r\n")]
        )
    )
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(requests)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    heads = [part.split(b"\r\n\r\n")[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [head.split()[0] for head in heads] == [b"200", b"401", b"200"]
    assert [head.partition(b"x-request-id: ")[2].split()[0] for head in heads] == [b"0", b"1", b"2"]


def test_a_slow_body_holds_up_nobody(platform: PlatformProcess, worker: TestWorker) -> None:
    """A beat that comes byte by byte, without a length, is taken when it is whole; others are answered meanwhile."""
    address = urlsplit(platform.url)
    head = f"POST {beat_path(worker)} HTTP/1.1\r\nHost: platform\r\nAuthorization: Bearer {worker.token}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in b'{"activeCount": 1}':
            connection.sendall(b"1\r\n%c\r\n" % byte)
            assert platform.call("GET", "/healthz").status == 200
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
