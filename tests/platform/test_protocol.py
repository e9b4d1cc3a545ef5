"""What is refused before it is a request: heads without an end, and bytes that are not HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.platform import PlatformProcess

LIMIT = 16 * 1024
GET = b"GET /healthz HTTP/1.1\r\nHost: platform\r\n"
CHUNKED = b"POST /api/workers/register HTTP/1.1\r\nHost: platform\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    with PlatformProcess.embedded(tmp_path_factory.mktemp("protocol")) as running:
        yield running


@pytest.fixture
def brisk(tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform that waits half a second for a request to be whole."""
    with PlatformProcess.embedded(tmp_path, ("--request-timeout", "0.5")) as running:
        yield running


def dripping(beginning: bytes, drop: bytes) -> Iterator[bytes]:
    """A request without end, as slow as it may be without being idle."""
    yield beginning
    while True:
        yield drop
        time.sleep(0.05)  # the pace of the drip: no event, the test is about slowness


def answer_to(platform: PlatformProcess, pieces: Iterable[bytes]) -> tuple[int, bytes]:
    """Status and body of what comes back, once the platform has closed; a platform that reads on for ever is a failure."""
    address = urlsplit(platform.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:
            pass  # it has heard enough; what it answered is still to be read
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass  # what was sent after its last word was not read
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def field(size: int) -> bytes:
    return b"X-Filler: " + b"x" * size + b"\r\n"


def test_a_head_has_a_limit(embedded: PlatformProcess) -> None:
    """A head of 15 KiB is read; one of more than 16 KiB is refused with 431 and our error shape, in one field or in many."""
    assert answer_to(embedded, [GET + field(15 * 1024) + b"Connection: close\r\n\r\n"]) == (200, b"ok\n")
    for head in (field(LIMIT), field(100) * 200):
        status, body = answer_to(embedded, [GET + head + b"\r\n"])
        assert status == 431
        assert json.loads(body) == {"error": "the head of the request is too large"}


@pytest.mark.parametrize(
    "beginning",
    [GET + b"X-Endless: ", b"GET /", CHUNKED + b"2\r\n{}\r\n0\r\nX-Trailer: ", CHUNKED + b"2;extension="],
    ids=["field", "path", "trailer", "chunk extension"],
)
def test_nothing_is_kept_without_end(embedded: PlatformProcess, beginning: bytes) -> None:
    """What never ends is refused while it still comes, wherever a client may put it."""
    pieces = [beginning, *([b"x" * 8192] * 10_000)]
    status, _ = answer_to(embedded, pieces)
    assert status in (0, 431)  # 0: the answer was lost, as the connection was closed with more to be read
    assert embedded.call("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: platform\r\n\r\n",
        b"CONNECT platform:443 HTTP/1.1\r\nHost: platform\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: platform\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    ],
    ids=["no request", "no path", "a tunnel", "two lengths"],
)
def test_what_is_not_http_is_refused(embedded: PlatformProcess, request_bytes: bytes) -> None:
    """Bytes that are no request, or could be two, get 400 with our error shape, and the connection ends."""
    status, body = answer_to(embedded, [request_bytes])
    assert (status, json.loads(body)) == (400, {"error": "invalid HTTP request"})


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"GET /hea", b"l"),
        (GET, b"X: y\r\n"),
        (CHUNKED, b"1\r\n{\r\n"),
        (GET + b"\r\n" + GET, b"X: y\r\n"),
    ],
    ids=["path", "head", "body", "second request"],
)
def test_a_request_has_a_time_to_arrive(brisk: PlatformProcess, beginning: bytes, drop: bytes) -> None:
    """However busily it drips, and with nobody's key: it is told 408 and is gone."""
    status, body = answer_to(brisk, dripping(beginning, drop))
    if beginning.count(b"GET") == 2:  # the answer to the first one comes before
        status, body = int(body.split()[2]), body.partition(b"\r\n\r\n")[2]
    assert (status, json.loads(body)) == (408, {"error": "the request took too long to arrive"})


def test_a_connection_without_a_request_ends(brisk: PlatformProcess) -> None:
    """Nothing was asked, so nothing is answered."""
    assert answer_to(brisk, []) == (0, b"")


def test_only_arriving_is_timed(brisk: PlatformProcess) -> None:
    """A beat is held, and a connection is kept, for longer than a request may take to arrive."""
    worker = brisk.register(brisk.make_key("worker"))
    brisk.beat(worker)  # the first one is not held
    for _ in range(2):
        begun = time.monotonic()
        assert brisk.beat(worker, wait=1).status == 200
        assert time.monotonic() - begun > 0.5


def test_half_a_body_is_no_body(embedded: PlatformProcess) -> None:
    """What came before the connection broke is not acted upon, even where it could be taken for a whole request."""
    key = embedded.make_key("admin")
    host = embedded.register(embedded.make_key("worker")).host_id
    body = json.dumps({"workerHostId": host, "op": "project.remove", "params": {"id": "demo"}}).encode()
    head = f"POST /api/daemon/mutations HTTP/1.1\r\nHost: platform\r\nAuthorization: Bearer {key}\r\n"
    for length, queued in ((len(body) + 1, 0), (len(body), 1)):
        address = urlsplit(embedded.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)
            assert embedded.call("GET", "/healthz").status == 200  # by now it has read what has come
            if not queued:
                connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        listed = embedded.call("GET", f"/api/daemon/mutations?workerHostId={host}", key)
        assert len(listed.list_of("mutations")) == queued


def test_a_body_may_be_announced(embedded: PlatformProcess) -> None:
    """A client that asks before it sends a body is told to go on."""
    head = b"POST /api/workers/register HTTP/1.1\r\nHost: platform\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    address = urlsplit(embedded.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_the_daemon_keeps_to_its_own_parser() -> None:
    """Nothing that the daemon is composed of, its control API served, imports the platform's parser or its framework."""
    program = """
import importlib, pkgutil, sys
import donmai_daemon.compose
for module in pkgutil.walk_packages(donmai_daemon.compose.__path__, "donmai_daemon.compose."):
    importlib.import_module(module.name)
from donmai_daemon.control.protocol import Limits
from donmai_daemon.control.server import _configure
_configure(lambda *_: None, Limits())
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "donmai_daemon.control.protocol" in done.stdout.split()
    assert not {"httptools", "starlette", "donmai_daemon.platform"} & set(done.stdout.split())
