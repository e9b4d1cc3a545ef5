"""Sends requests that were made before, over connections that are kept, and looks at every answer."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One kept connection. `request` may be called again once its answer is there."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, url: str) -> Connection:
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        _, connection = await asyncio.get_running_loop().create_connection(cls, address.hostname, address.port)
        return connection

    async def request(self, request: bytes) -> bytes:
        """The body of the answer, which must be a 2xx. Raises `ConnectionError` where the server closes instead."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionError("closed before the request")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if found and length is not None and len(body) >= int(length[1]) and self._answer is not None:
            self._received = b""
            if head.startswith(b"HTTP/1.1 2"):
                self._answer.set_result(body)
            else:
                self._answer.set_exception(AssertionError((head + found + body).decode("latin-1")))
            self._answer = None

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed before the answer"))


async def send_all(connections: Sequence[Connection], requests: Sequence[bytes]) -> list[bytes]:
    """Send every request, one at a time on each connection; the answers, in no order."""
    waiting, answers = deque(requests), list[bytes]()

    async def work(connection: Connection) -> None:
        while waiting:
            answers.append(await connection.request(waiting.popleft()))

    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(work(connection))
    return answers
