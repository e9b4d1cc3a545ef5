"""One connection: uvicorn's HTTP/1.1 protocol on llhttp, with a bound on heads and our error shape.

llhttp bounds nothing by itself: what a head or a trailer holds is kept until it ends. Bodies are bounded where they are
read, and are not read ahead.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base class
        super().connection_made(transport)
        self._departure = Departure()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._departure.happened()

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DEPARTURE: {"of": self._departure}}

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        # One that came in a single read is whole by now, however large it is.
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError  # the parser stops, and has the base class refuse
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called where the bytes are not HTTP, or too many."""
        cycle: RequestResponseCycle | None = self.cycle  # declared without None, and begins with it
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()  # in the middle of an answer there is no place for another
            return
        large = self._refusal is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        content = json.dumps({"error": "the head of the request is too large" if large else "invalid HTTP request"})
        self.transport.write(
            f"HTTP/1.1 {self._refusal.value} {self._refusal.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n{content}".encode("ascii")
        )
        self.transport.close()
