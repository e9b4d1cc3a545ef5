"""What one connection may do: keep-alive, pipelining, nonsense, silence."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs
from tests.support.control import DIGITS, StandInDaemon, Surface, answer_of, parse, snapshot, surface

from donmai_daemon.control.protocol import Limits

pytestmark = pytest.mark.anyio


def get(served: Surface, path: str = "/healthz") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost:{served.port}\r\n\r\n".encode()


def post(served: Surface, path: str, body: bytes, token: str = DIGITS) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{served.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def closed(stream: anyio.abc.SocketStream) -> bytes:
    """Read until the other end closes."""
    received = b""
    with anyio.fail_after(5):
        try:
            while True:
                received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


@asynccontextmanager
async def connected(served: Surface, *, unix: bool = False) -> AsyncIterator[anyio.abc.SocketStream]:
    async with await served.connect(unix=unix) as stream:
        yield stream


async def test_a_connection_serves_many_requests(tmp_path: Path) -> None:
    """Answers, refusals, bodies and HEAD follow one another on one connection, on either socket."""
    async with surface(tmp_path) as served:
        for unix in (False, True):
            async with connected(served, unix=unix) as stream:
                for _ in range(3):
                    await stream.send(get(served))
                    assert (await answer_of(stream)).body == b"ok"
                    await stream.send(get(served, "/nowhere"))
                    assert (await answer_of(stream)).status == 404
                    await stream.send(post(served, "/api/daemon/mutations", b"{}"))
                    assert (await answer_of(stream)).status == 400
                    await stream.send(get(served).replace(b"GET", b"HEAD"))
                    assert (await answer_of(stream, head_only=True)).headers["content-length"] == "2"
                    await stream.send(post(served, "/api/daemon/pause", b"{}"))
                    assert (await answer_of(stream)).status == 200


async def test_a_refused_body_does_not_poison_the_connection(tmp_path: Path) -> None:
    """The bytes of a body that got 401 are not taken for the next request."""
    async with surface(tmp_path) as served, connected(served) as stream:
        smuggled = post(served, "/api/daemon/pause", b"")
        await stream.send(post(served, "/api/daemon/mutations", smuggled, token="f" * 64))
        assert (await answer_of(stream)).status == 401
        await stream.send(get(served))
        assert (await answer_of(stream)).body == b"ok"
        assert served.daemon.acts == []


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Requests sent without waiting are answered one after the other, none dropped, none mixed."""
    async with surface(tmp_path) as served:
        last = get(served, "/nowhere").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        sent = get(served) + post(served, "/api/daemon/pause", b"{}") + get(served, "/readyz") + last
        received = await served.raw(sent)
        statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 200, 200, 404]
        assert served.daemon.acts == ["pause"]


async def test_what_is_not_http_gets_the_error_shape(tmp_path: Path) -> None:
    """Bytes the parser refuses are answered as JSON too, with the parser's status, and the connection is closed."""
    async with surface(tmp_path) as served:
        host = f"Host: localhost:{served.port}\r\n".encode()
        with capture_logs() as logs:
            for data, status in (
                (b"garbage\r\n\r\n", 400),
                (b"GET /\xff HTTP/1.1\r\n" + host + b"\r\n", 400),
                (b"GET / HTTP/1.1\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n" + host + host + b"\r\n", 400),
                (b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n" + host + b" folded: x\r\nBad Name: x\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n", 501),
                (b"GET / HTTP/1.1\r\n" + host + b"X: " + b"x" * 200_000, 431),
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 9, 400),
            ):
                reply = parse(await served.raw(data))
                assert reply.status == status, data[:60]
                assert reply.json == {"error": "invalid HTTP request", "code": "bad_request"}
                assert reply.headers["connection"] == "close"
        assert logs == []


async def test_nonsense_after_an_answer_gets_no_second_one(tmp_path: Path) -> None:
    """A broken chunk behind a refused request ends the connection; the server stays well."""
    async with surface(tmp_path) as served:
        head = (
            "POST /api/daemon/pause HTTP/1.1\r\nHost: evil.test\r\nExpect: 100-continue\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        async with connected(served) as stream:
            await stream.send(head.encode())
            assert (await answer_of(stream)).status == 403
            await stream.send(b"not a chunk\r\n")
            assert b"HTTP/1.1" not in await closed(stream)
        assert (await served.ask("GET", "/healthz")).status == 200


async def test_nonsense_inside_a_body_is_a_bad_request(tmp_path: Path) -> None:
    """A chunk that is none is answered once, and nothing is acted on."""
    async with surface(tmp_path) as served:
        head = (
            f"POST /api/daemon/mutations HTTP/1.1\r\nHost: localhost:{served.port}\r\n"
            f"Authorization: Bearer {DIGITS}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        )
        assert parse(await served.raw(head.encode())).status == 400
        assert served.daemon.submitted == []


async def test_an_upgrade_is_not_taken(tmp_path: Path) -> None:
    """There is no WebSocket here: the request is answered as if it had not asked."""
    async with surface(tmp_path) as served:
        upgrade = {"Connection": "close, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
        assert (await served.ask("GET", "/healthz", headers=upgrade)).body == b"ok"


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_connection_that_falls_silent_is_closed(tmp_path: Path, sent: bytes) -> None:
    """Who connects and says nothing, or not the whole head of a request, is let go after a while."""
    async with surface(tmp_path, limits=Limits(head_seconds=0.02)) as served, connected(served) as stream:
        if sent:
            await stream.send(sent)
        assert await closed(stream) == b""


async def test_the_rest_of_a_refused_body_is_not_waited_for_long(tmp_path: Path) -> None:
    """A caller that was refused before it sent the body, and then sends only a part of it, is let go as well."""
    limits = Limits(head_seconds=0.02, keep_alive_seconds=3600)
    async with surface(tmp_path, limits=limits) as served, connected(served) as stream:
        head, _, body = post(served, "/api/daemon/pause", b" " * 40, token="f" * 64).partition(b"\r\n\r\n")
        await stream.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert (await answer_of(stream)).status == 401
        await stream.send(body[:-1])
        assert await closed(stream) == b""


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    """Keep-alive ends."""
    async with surface(tmp_path, limits=Limits(keep_alive_seconds=0)) as served, connected(served) as stream:
        await stream.send(get(served))
        assert (await answer_of(stream)).body == b"ok"
        assert await closed(stream) == b""


async def test_an_answer_that_nobody_reads_is_dropped(tmp_path: Path) -> None:
    """A caller that does not read keeps neither the answer in memory nor the connection."""
    daemon = StandInDaemon(now=snapshot(projects=20_000))
    limits = Limits(keep_alive_seconds=0, grace_seconds=5.0)
    async with surface(tmp_path, daemon, limits=limits) as served, connected(served, unix=True) as stream:
        await stream.send(get(served, "/api/daemon/status"))
        received = await stream.receive()  # the answer is under way, and longer than the system's buffers
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        received += await closed(stream)
        assert len(received) < int(parse(received).headers["content-length"])


async def test_connections_are_counted(tmp_path: Path) -> None:
    """Beyond the limit TCP connections are dropped at once; the unix socket still answers, and so does TCP again later."""
    async with surface(tmp_path, limits=Limits(tcp_connections=3)) as served:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                stream = await stack.enter_async_context(connected(served))
                await stream.send(get(served))
                assert (await answer_of(stream)).status == 200
            async with connected(served) as stream:
                assert await closed(stream) == b""
            assert (await served.ask("GET", "/healthz", unix=True)).status == 200
        reply = None
        while reply is None:  # the server hears of the closed ones in its own time
            async with connected(served) as stream:
                await stream.send(get(served).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                received = await closed(stream)
            reply = parse(received) if received else None
        assert reply.status == 200


def damaged(request: bytes, rng: random.Random) -> bytes:
    """A request with a few bytes lost, changed, doubled or put in."""
    data = bytearray(request)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                del data[at : at + rng.randint(1, 9)]
            case 1:
                data[at] = rng.randrange(256)
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 30)]
            case _:
                data[at:at] = rng.choice(
                    (b"\r\n", b"\0", b"%", b":", b"  ", b"\r\nHost: x", b"Expect: 100-continue\r\n")
                )
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
async def test_no_bytes_confuse_the_server(tmp_path: Path, seed: int) -> None:
    """Damaged requests without the token get answers in the known shape or none; nothing is done, nothing breaks."""
    rng = random.Random(seed)
    async with surface(tmp_path) as served:
        chunked = b"Transfer-Encoding: chunked\r\n\r\n5\r\n{    \r\n1\r\n}\r\n0\r\n\r\n"
        requests = [
            get(served),
            get(served, "/api/daemon/mutations/a%2Fb?limit=1") + get(served, "/metrics"),
            post(served, "/api/daemon/mutations", b'{"op":"project.add","params":{"id":"a"}}', token="f" * 64),
            get(served).replace(b"GET", b"POST").removesuffix(b"\r\n") + chunked + get(served),
        ]
        for _ in range(60):
            async with connected(served) as stream:
                try:
                    await stream.send(damaged(rng.choice(requests), rng))
                    await stream.send_eof()
                except (anyio.BrokenResourceError, OSError):
                    continue  # refused before all of it was sent
                received = await closed(stream)
            for part in received.split(b"HTTP/1.1 ")[1:]:
                reply = parse(b"HTTP/1.1 " + part)
                assert reply.status in (100, 200, 400, 401, 403, 404, 405, 413, 431, 501), received
                if reply.status >= 400 and reply.body:
                    assert set(reply.object) == {"error", "code"}
        assert (await served.ask("GET", "/healthz")).body == b"ok"
        assert served.daemon.acts == []
        assert served.daemon.submitted == []
