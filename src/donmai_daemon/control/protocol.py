"""One connection: uvicorn's HTTP/1.1 protocol, with the peer's identity, deadlines, and our error shape."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from http import HTTPStatus

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from donmai_daemon.control.answer import EVERY_ANSWER, JSON_TYPE, refusal
from donmai_daemon.control.peer import peer_of


@dataclass(frozen=True, slots=True)
class Limits:
    """What callers get. Times in seconds."""

    head_seconds: float = 10.0
    """From the first byte of a request (or the connection) to the end of its head; and for what is still to come of
    a body whose answer has gone out."""
    keep_alive_seconds: int = 30
    """Between requests; also how long an answer waits to be read."""
    grace_seconds: float = 1.0
    """For requests in flight, when the server stops."""
    tcp_connections: int = 128
    """More are dropped. The unix socket is exempt: whoever fills the port cannot lock the owner out."""


class LiveConnections(ServerState):
    """uvicorn's record of connections and requests, plus a way to wait for the last connection to close.

    `stopping`: no connection is let in any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopping = False
        self._watchers: set[asyncio.Event] = set()

    def closed_one(self) -> None:
        if not self.connections:
            for watcher in self._watchers:
                watcher.set()

    async def all_closed(self) -> None:
        """Return once no connection is left."""
        if not self.connections:
            return
        watcher = asyncio.Event()
        self._watchers.add(watcher)
        try:
            await watcher.wait()
        finally:
            self._watchers.discard(watcher)


class ControlProtocol(H11Protocol):
    """Adds to uvicorn's protocol only what it has no option for."""

    def __init__(self, config: Config, live: LiveConnections, limits: Limits) -> None:
        super().__init__(config, live, {})
        self._live = live
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base class
        super().connection_made(transport)
        peer = peer_of(transport.get_extra_info("socket"))
        self.app_state["peer"] = peer
        crowded = not peer.is_unix and len(self.connections) > self._limits.tcp_connections
        # 1. asyncio accepts a connection. 2. The server stops, and closes every connection it knows. 3. asyncio makes
        # the connection known: without a look at `stopping` it would be served by a server that is no more.
        if crowded or self._live.stopping:
            transport.abort()
        else:
            self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimit_head()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # the base class leaves it armed after an error
        self._live.closed_one()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._between_requests() and not self.transport.is_closing():
            self._limit_head()
        else:
            self._unlimit_head()

    def shutdown(self) -> None:
        """Close when nothing is being answered, else after the answer."""
        if self._between_requests():
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def timeout_keep_alive_handler(self) -> None:
        """A peer that has not even read its answer is dropped, since a close would wait for it."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Called where the bytes are not HTTP, from within the handling of the parser's error."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # in the middle of an answer there is no place for another
            return
        problem = sys.exception()
        status = problem.error_status_hint if isinstance(problem, h11.RemoteProtocolError) else 400
        payload = refusal(status, "bad_request", "invalid HTTP request").rendered or b""
        headers = [
            (b"content-type", JSON_TYPE),
            (b"content-length", b"%d" % len(payload)),
            *EVERY_ANSWER,
            (b"connection", b"close"),
        ]
        reason = HTTPStatus(status).phrase.encode("ascii")
        for event in (
            h11.Response(status_code=status, headers=headers, reason=reason),
            h11.Data(data=payload),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _between_requests(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # declared without None, and begins with it
        return cycle is None or cycle.response_complete

    def _limit_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self.timeout_keep_alive_handler)

    def _unlimit_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
