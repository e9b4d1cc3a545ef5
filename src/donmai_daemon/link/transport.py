"""One request, one whole answer, one deadline over both."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol

import anyio
import httpcore
import httpx

from donmai_daemon.clock import Clock
from donmai_daemon.errors import PlatformUnreachable
from donmai_daemon.link.address import Address
from donmai_daemon.link.answer import Answer
from donmai_daemon.link.retry import parse_http_date, parse_retry_after

MAX_ANSWER_BYTES = 1024 * 1024

_LIMITS = httpx.Limits(
    max_connections=32,
    max_keepalive_connections=4,
    # Shorter than the time for which servers keep idle connections (uvicorn: 5 s): a request must not meet the
    # server's close on its way, and after a suspend the first beat must not go into a dead one.
    keepalive_expiry=3.0,
)


class Sender(Protocol):
    """How the client's requests leave: `Transport`, or a lighter one where a thousand machines live in one process."""

    @property
    def base(self) -> str:
        """The URL before every path."""
        ...

    async def __aenter__(self) -> Sender: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def adopt(self, address: Address) -> None:
        """Send to `address` from now on."""
        ...

    async def reconnect(self) -> None:
        """Send over no connection that is open now."""
        ...

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        """One whole answer within `deadline` seconds. Raises `PlatformUnreachable`."""
        ...


class Transport:
    """Sends to one address. Adds nothing on its own: no redirects, no cookies, no credentials, no decompression."""

    def __init__(self, address: Address, clock: Clock, user_agent: str) -> None:
        self._address = address
        self._clock = clock
        self._user_agent = user_agent
        self._pool = _Pool(address)

    @property
    def base(self) -> str:
        """The URL before every path."""
        return self._address.base

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.retire()

    async def adopt(self, address: Address) -> None:
        """Send to `address` from now on; what is in flight ends as it began."""
        self._address = address
        await self.reconnect()

    async def reconnect(self) -> None:
        """Send over new connections from now on; what is in flight ends as it began."""
        await self._renew(self._pool)

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        """Send, and read the whole answer. `path` is escaped already; `deadline` is in seconds.

        Raises `PlatformUnreachable` where no status arrived in time. An answer whose body is cut, late, too large or
        compressed is returned with its `problem`: the status stands, the body does not.
        """
        request = httpx.Request(
            method,
            self._address.base + path,
            headers={
                "User-Agent": self._user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # the bound on bodies is then a bound on memory
                **({"Content-Type": "application/json"} if body is not None else {}),
                **headers,
            },
            content=body,
        )
        response: httpx.Response | None = None
        received = bytearray()
        problem: str | None = None
        try:
            with anyio.fail_after(deadline):
                async with self._response(request) as response:
                    problem = await _read(response, received)
        except TimeoutError as error:
            if response is None:
                raise PlatformUnreachable(f"no answer from the platform within {deadline:g} s") from error
            problem = f"was not complete within {deadline:g} s"
        except (httpx.TransportError, OSError) as error:
            if response is None:
                raise PlatformUnreachable(f"the platform cannot be reached: {_cause(error)}") from error
            problem = "was cut short"
        return Answer(response.status_code, bytes(received), problem, retry_after(response.headers, self._clock))

    @asynccontextmanager
    async def _response(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        pool = self._pool
        async with pool.use():
            try:
                response = await pool.send(request)
            except BaseException:
                await self._renew(pool)  # one that was left in the middle of a handshake keeps its place for ever
                raise
            try:
                yield response
            finally:
                await response.aclose()

    async def _renew(self, pool: _Pool) -> None:
        if self._pool is pool:
            self._pool = _Pool(self._address)
            await pool.retire()


class _Pool:
    """Connections to one address, closed when the pool is retired and its last request has ended.

    The layer below `httpx.AsyncClient`, which would keep cookies and take credentials from URLs.
    """

    def __init__(self, address: Address) -> None:
        self._http = httpx.AsyncHTTPTransport(
            verify=address.tls, proxy=address.proxy, limits=_LIMITS, trust_env=False
        )
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            await self._close_if_done()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The head of the answer.

        httpcore 1.0.9 forgets the socket when it is cancelled within the TLS handshake, and the event loop keeps it open
        for as long as the other side does. So the sockets opened for this request are noted, and closed if it fails.
        """
        opened: list[httpcore.AsyncNetworkStream] = []

        async def trace(event: str, info: Mapping[str, object]) -> None:
            stream = info.get("return_value")
            if event == "connection.connect_tcp.complete" and isinstance(stream, httpcore.AsyncNetworkStream):
                opened.append(stream)

        request.extensions["trace"] = trace
        try:
            return await self._http.handle_async_request(request)
        except BaseException:
            with anyio.CancelScope(shield=True):  # closing waits for nobody
                for stream in opened:
                    await stream.aclose()
            raise

    async def retire(self) -> None:
        """No request will use it any more, except those that already do."""
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and self._users == 0:
            with anyio.CancelScope(shield=True):  # closing waits for nobody
                await self._http.aclose()


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Seconds that an answer with these `headers` (lower-case names) asks to wait, None where it does not."""
    # Against the platform's own clock where it tells it: ours may be wrong.
    return parse_retry_after(headers.get("retry-after"), parse_http_date(headers.get("date")) or clock.now())


async def _read(response: httpx.Response, received: bytearray) -> str | None:
    """Read the body into `received`; returns why it is not to be used, or None."""
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return "is compressed, which was not asked for"
    async for chunk in response.aiter_raw():
        received += chunk
        if len(received) > MAX_ANSWER_BYTES:
            return f"is larger than {MAX_ANSWER_BYTES // 1024} KiB"
    return None


def _cause(error: BaseException) -> str:
    """What the operating system or TLS has against it, in its own words."""
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(below)
    for link in reversed(chain):
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"certificate not trusted: {link.verify_message}"
        if isinstance(link, socket.gaierror | ssl.SSLError):
            return link.strerror or "name resolution or TLS failed"
        if isinstance(link, OSError) and link.errno:
            return os.strerror(link.errno)
    return str(error)[:200] or type(error).__name__
