"""A platform made of raw bytes on a real socket: it says exactly what a test tells it to, and keeps what it heard."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import anyio
import anyio.abc
from anyio.streams.tls import TLSListener

from donmai_daemon.clock import Clock
from donmai_daemon.link.client import PlatformClient, open_client
from donmai_daemon.model.condition import ConditionCode, Severity
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.json import Json, JsonObject

Ending: TypeAlias = Literal["keep", "close", "reset", "stall"]


@dataclass(frozen=True)
class Reply:
    """`data` as it goes over the wire, and what becomes of the connection afterwards.

    `drip` goes on sending that byte, slowly, until the other side hangs up. `release` is waited for before anything is sent.
    """

    data: bytes
    end: Ending = "keep"
    drip: bytes | None = None
    release: anyio.Event | None = None


@dataclass(frozen=True)
class Heard:
    """One request, as it came."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0].decode("ascii")

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; a name that comes twice is joined by a comma."""
        found: dict[str, str] = {}
        for row in self.head.decode("ascii").split("\r\n")[1:]:
            name, _, value = row.partition(":")
            key = name.lower()
            found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
        return found

    def json(self) -> Json:
        value: Json = json.loads(self.body)
        return value


def answer(
    payload: Json, status: int = 200, headers: Mapping[str, str] | None = None, release: anyio.Event | None = None
) -> Reply:
    """A good JSON answer."""
    return Reply(http(status, json.dumps(payload).encode(), headers), release=release)


def http(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of an HTTP/1.1 answer with its true length, unless `headers` says otherwise."""
    fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + body


@dataclass
class ScriptedPlatform:
    """Answers in the order of `script`. A request that the script does not foresee gets 500 and is heard all the same."""

    port: int
    heard: list[Heard] = field(default_factory=list)
    script: deque[Reply] = field(default_factory=deque)
    connections: int = 0
    open: int = 0
    _news: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [heard.line for heard in self.heard]

    def will(self, *replies: Reply) -> None:
        self.script.extend(replies)

    async def requests(self, count: int) -> None:
        """Wait until `count` requests have been heard."""
        while len(self.heard) < count:
            await self._news.wait()

    async def hung_up(self) -> None:
        """Wait until no connection is open any more."""
        while self.open:
            await self._news.wait()

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        self.connections += 1
        self.open += 1
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._converse(stream)
        self.open -= 1
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _converse(self, stream: anyio.abc.ByteStream) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                pending += await stream.receive()
            head, _, pending = pending.partition(b"\r\n\r\n")
            length = int(Heard(head, b"").headers.get("content-length", "0"))
            while len(pending) < length:
                pending += await stream.receive()
            body, pending = pending[:length], pending[length:]
            self.heard.append(Heard(head, body))
            self._tell()
            reply = self.script.popleft() if self.script else answer({"error": "not foreseen"}, 500)
            if reply.release is not None:
                await reply.release.wait()
            await stream.send(reply.data)
            while reply.drip is not None:
                await stream.send(reply.drip)
                await anyio.sleep(0.01)  # the pace of the drip: no event, the test is about slowness
            if reply.end == "stall":
                await stream.receive()  # ends when the other side hangs up
            if reply.end == "reset":
                _reset(stream)
            if reply.end != "keep":
                return


def _reset(stream: anyio.abc.ByteStream) -> None:
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def scripted_platform(tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedPlatform]:
    """Serve on a free port of 127.0.0.1 for the span of the block."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as tcp:
        port = tcp.extra(anyio.abc.SocketAttribute.local_port)
        platform = ScriptedPlatform(port)
        listener = TLSListener(tcp, tls, standard_compatible=False) if tls is not None else tcp
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, platform.serve)
            yield platform
            group.cancel_scope.cancel()


@asynccontextmanager
async def client_of(
    platform: ScriptedPlatform | str, clock: Clock, environ: Mapping[str, str] | None = None
) -> AsyncIterator[PlatformClient]:
    """A client of `platform`, or of the platform at that URL."""
    url = platform if isinstance(platform, str) else platform.url
    async with open_client(PlatformLink(url=url), clock, "1.2.3", environ or {}) as client:
        yield client


class RecordedConditions:
    """Implements `ConditionSink`."""

    def __init__(self) -> None:
        self.current: dict[ConditionCode, tuple[Severity, str]] = {}

    def set(self, code: ConditionCode, severity: Severity, message: str) -> None:
        self.current[code] = (severity, message)

    def clear(self, code: ConditionCode) -> None:
        self.current.pop(code, None)


def registered(worker: str = "wkr_1", token: str = "rt_1", /, **more: Json) -> JsonObject:
    """The payload of a registration's answer."""
    return {"workerId": worker, "runtimeToken": token, "heartbeatInterval": 30000, "pollInterval": 5000, **more}


def refreshed(token: str, /, **more: Json) -> JsonObject:
    """The payload of a refresh's answer."""
    return {"runtimeToken": token, **more}
