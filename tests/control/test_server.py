"""Serving and stopping."""

from __future__ import annotations

import asyncio
import selectors
import signal
import socket
import threading
from pathlib import Path

import anyio
import pytest
from tests.support.control import TOKEN, Reply, StandInDaemon, Surface, answer_of, no_faults, surface

from donmai_daemon.clock import SystemClock
from donmai_daemon.control.app import ControlApp
from donmai_daemon.control.protocol import ControlProtocol, Limits
from donmai_daemon.control.routes import control_routes
from donmai_daemon.control.server import serve
from donmai_daemon.control.sockets import bind

pytestmark = pytest.mark.anyio

SUBMISSION = b'{"op":"project.add","params":{"id":"a"}}'


async def connects(served: Surface) -> bool:
    try:
        async with await served.connect():
            return True
    except OSError:
        return False


class WatchedSelector(selectors.DefaultSelector):
    """Says when the loop waits with no deadline at all."""

    def __init__(self) -> None:
        super().__init__()
        self.endless = threading.Event()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # type: ignore[explicit-any] # its field `data`
        if timeout is None:
            self.endless.set()
        return super().select(timeout)


def test_an_idle_server_sleeps_without_a_deadline(tmp_path: Path) -> None:
    """With nobody connected the loop waits for input only: no tick, no timer, also after requests were served."""
    selector = WatchedSelector()
    sockets = bind("127.0.0.1", 0, tmp_path / "control.sock")
    app = ControlApp(sockets.port, SystemClock())
    daemon = StandInDaemon()
    app.open(TOKEN, control_routes(daemon, daemon, daemon))
    stop = asyncio.Event()

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda task_status: serve(app, sockets, task_status=task_status))
            await stop.wait()
            tasks.cancel_scope.cancel()

    loop = asyncio.SelectorEventLoop(selector)
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert selector.endless.wait(5)
        with socket.create_connection(("127.0.0.1", sockets.port), timeout=5) as client:
            client.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{sockets.port}\r\n\r\n".encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            selector.endless.clear()
        assert selector.endless.wait(5), "a timer is left over"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()
    assert not thread.is_alive()


async def test_stopping_does_not_wait_for_idle_connections(tmp_path: Path) -> None:
    """A keep-alive connection and one that has said nothing are closed at once; both addresses are free then."""
    async with surface(tmp_path, limits=Limits(grace_seconds=3600.0, keep_alive_seconds=3600)) as served:
        used = await served.connect()
        await used.send(f"GET /healthz HTTP/1.1\r\nHost: localhost:{served.port}\r\n\r\n".encode())
        assert (await answer_of(used)).status == 200
        silent, unix = await served.connect(), await served.connect(unix=True)
    for stream in (used, silent, unix):
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
        await stream.aclose()
    assert not served.sockets.path.exists()
    bind("127.0.0.1", served.port, served.sockets.path).close()


async def test_a_request_in_flight_is_answered_before_the_end(tmp_path: Path) -> None:
    """What was asked before the stop is answered; what comes after it finds nobody."""
    hold = anyio.Event()
    daemon = StandInDaemon(hold=hold)
    replies: list[Reply] = []

    async def ask() -> None:
        head = f"POST /api/daemon/mutations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(SUBMISSION)}\r\n"
        async with await served.connect(unix=True) as stream:
            await stream.send(f"{head}Content-Type: application/json\r\n\r\n".encode() + SUBMISSION)
            replies.append(await answer_of(stream))
            with pytest.raises(anyio.EndOfStream):  # although the connection was to be kept
                await stream.receive()

    async def release() -> None:
        while await connects(served):
            pass
        assert replies == []
        hold.set()

    limits = Limits(grace_seconds=3600.0, keep_alive_seconds=3600)
    async with anyio.create_task_group() as tasks, surface(tmp_path, daemon, limits=limits) as served:
        tasks.start_soon(ask)
        await daemon.entered.wait()
        tasks.start_soon(release)
    assert [reply.status for reply in replies] == [202]


async def test_a_request_that_does_not_end_is_cut(tmp_path: Path) -> None:
    """The grace is bounded: a handler that hangs is cancelled and its caller sees the connection end."""
    daemon = StandInDaemon(hold=anyio.Event())
    async with anyio.create_task_group() as tasks:
        received: list[bytes] = []

        async def ask(body: bytes) -> None:
            head = f"POST /api/daemon/mutations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            received.append(
                await served.raw(f"{head}Content-Type: application/json\r\n\r\n".encode() + body, unix=True)
            )

        async with surface(tmp_path, daemon, limits=Limits(grace_seconds=0.02)) as served:
            tasks.start_soon(ask, SUBMISSION)
            await daemon.entered.wait()
    assert received == [b""]
    assert daemon.submitted == []


async def test_a_connection_in_the_doorway_is_closed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was being accepted while the server stopped is not left with a server that is no more."""
    accepted = anyio.Event()
    late: list[tuple[ControlProtocol, asyncio.Transport]] = []
    made = ControlProtocol.connection_made

    def postpone(protocol: ControlProtocol, transport: asyncio.Transport) -> None:
        late.append((protocol, transport))
        accepted.set()

    monkeypatch.setattr(ControlProtocol, "connection_made", postpone)
    async with surface(tmp_path, limits=Limits(head_seconds=3600.0)) as served:
        client = await served.connect()
        await accepted.wait()
    with no_faults():
        for protocol, transport in late:
            made(protocol, transport)
        async with client:
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await client.receive()


async def test_answers_are_sent_without_delay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm is off on every connection, or each answer's body would wait for the head to be acknowledged."""
    seen: list[int] = []
    made = ControlProtocol.connection_made

    def look(protocol: ControlProtocol, transport: asyncio.Transport) -> None:
        seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(protocol, transport)

    monkeypatch.setattr(ControlProtocol, "connection_made", look)
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/healthz")).status == 200
    assert seen
    assert all(seen)


async def test_signals_are_left_alone(tmp_path: Path) -> None:
    """Who handles SIGTERM is the daemon's business."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with surface(tmp_path):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_the_environment_does_not_steer_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables meant for other servers change nothing here."""
    monkeypatch.setenv("WEB_CONCURRENCY", "not a number")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/healthz")).status == 200
