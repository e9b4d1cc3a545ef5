"""One connection: uvicorn's HTTP/1.1 protocol on llhttp, with bounds on heads and on time, and our error shape.

llhttp bounds nothing by itself: what a head or a trailer holds is kept until it ends. Bodies are bounded where they are
read, and are not read ahead.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from donmai_daemon.platform.http.departure import Departure

MAX_HEAD_BYTES = 16 * 1024
"""Request line and header fields."""
DEPARTURE = "donmai.departure"
"""The extension of the scope whose `of` is the `Departure` of the request's connection."""


class PlatformProtocol(HttpToolsProtocol):
    """Adds to uvicorn's protocol only what it has no option for."""

    _unfinished = 0
    """Bytes that came since a head, a piece of a body or a message was complete."""
    _refusal = HTTPStatus.BAD_REQUEST
    _arriving = False
    """A request has begun, and not all of it is here."""
    _in_body = False
    """Its head is."""
    _deadline: asyncio.TimerHandle | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        arrival: float,
    ) -> None:
        """`arrival`: seconds from the first byte of a request (or the connection) to its last one."""
        super().__init__(config, server_state, app_state, _loop)
        self._arrival = arrival

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base class
        super().connection_made(transport)
        self._departure = Departure()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unexpect()
        super().connection_lost(exc)
        self._departure.happened()

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self.send_400_response("")
        # Most requests come in one piece, and need no timer.
        if self._arriving:
            self._expect()
        else:
            self._unexpect()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving, self._in_body = True, False
        self.scope["extensions"] = {DEPARTURE: {"of": self._departure}}

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        # One that came in a single read is whole by now, however large it is.
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError  # the parser stops, and has the base class refuse
        super().on_headers_complete()
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        self._arriving = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called where the bytes are not HTTP, or too many."""
        cycle: RequestResponseCycle | None = self.cycle  # declared without None, and begins with it
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()  # in the middle of an answer there is no place for another
            return
        large = self._refusal is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._refuse(self._refusal, "the head of the request is too large" if large else "invalid HTTP request")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        content = json.dumps({"error": text})
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n{content}".encode("ascii")
        )
        self.transport.close()

    def _expect(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._arrival, self._too_slow)

    def _unexpect(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.flow.read_paused:
            self._expect()  # it waits for us
            return
        cycle: RequestResponseCycle | None = self.cycle
        # Whether the next answer on this connection is the one to this request, and has not begun. Once its head is
        # here the cycle is its own, unless it waits behind another one.
        if self._in_body:
            refusable = cycle is not None and not cycle.response_started and not self.pipeline
        else:
            refusable = self._arriving and (cycle is None or cycle.response_complete)
        if refusable:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive")
        else:
            self.transport.close()
