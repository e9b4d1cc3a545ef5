"""What is refused before it is a request: heads without an end, and bytes that are not HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
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
