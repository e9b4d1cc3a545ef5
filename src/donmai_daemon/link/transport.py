"""One request, one whole answer, one deadline over both."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from types import TracebackType

import anyio
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
    # server's close on its way, and after a suspend or a network change the first beat must not go into a dead one.
    keepalive_expiry=3.0,
)


class Transport:
    """Sends to one address. Adds nothing on its own: no redirects, no cookies, no credentials, no decompression."""

    def __init__(self, address: Address, clock: Clock, user_agent: str) -> None:
        self.base = address.base
        self._clock = clock
        self._user_agent = user_agent
        self._http = httpx.AsyncHTTPTransport(
            verify=address.tls, proxy=address.proxy, limits=_LIMITS, trust_env=False
        )  # the layer below httpx.AsyncClient, which would keep cookies and take credentials from URLs
        self._in_flight = 0
        self._retired = False

    async def __aenter__(self) -> Transport:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, value, trace)

    async def retire(self) -> None:
        """Close as soon as no request is in flight: now, or when the last one ends."""
        self._retired = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._retired and self._in_flight == 0:
            with anyio.CancelScope(shield=True):  # closes sockets; waits for nobody
                await self._http.aclose()

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        """Send, and read the whole answer. `path` is escaped already; `deadline` is in seconds.

        Raises `PlatformUnreachable` where no status arrived in time. An answer whose body is cut, late, too large or
        compressed is returned with its `problem`: the status stands, the body does not.
        """
        request = httpx.Request(
            method,
            self.base + path,
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
        self._in_flight += 1
        try:
            with anyio.fail_after(deadline):
                response = await self._http.handle_async_request(request)
                try:
                    problem = await _read(response, received)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            if response is None:
                raise PlatformUnreachable(f"no answer from the platform within {deadline:g} s") from error
            problem = f"was not complete within {deadline:g} s"
        except (httpx.TransportError, OSError) as error:
            if response is None:
                raise PlatformUnreachable(f"the platform cannot be reached: {_cause(error)}") from error
            problem = "was cut short"
        finally:
            self._in_flight -= 1
            await self._close_if_unused()
        return Answer(response.status_code, bytes(received), problem, self._retry_after(response))

    def _retry_after(self, response: httpx.Response) -> float | None:
        # Against the platform's own clock where it tells it: ours may be wrong.
        now = parse_http_date(response.headers.get("date")) or self._clock.now()
        return parse_retry_after(response.headers.get("retry-after"), now)


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
