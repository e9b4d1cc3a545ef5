"""A machine's way to the platform: one kept connection, and the faults on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit

import anyio
import h11

from donmai_daemon import __version__
from donmai_daemon.errors import PlatformUnreachable
from donmai_daemon.link.address import Address
from donmai_daemon.link.answer import Answer
from donmai_daemon.link.client import user_agent
from donmai_daemon.simulate.surroundings import Surroundings
from donmai_daemon.simulate.tally import count
from donmai_daemon.simulate.wire import Wire

_USER_AGENT = user_agent(__version__)


class Line:
    """Sends for the client as `link.transport.Transport` does, and counts what it sends.

    The connection is kept for as long as the platform keeps it, or until a request on it ends without an answer.
    """

    def __init__(self, around: Surroundings, rng: random.Random) -> None:
        self._around = around
        self._address = around.address
        self._rng = rng
        self._wire: Wire | None = None
        self.spoiled = False
        """Whether the last request was in vain on purpose."""

    @property
    def base(self) -> str:
        return self._address.base

    async def __aenter__(self) -> Line:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def adopt(self, address: Address) -> None:
        self._address = address
        self.close()

    async def reconnect(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        head = self._head(method, path, headers, body)
        try:
            with anyio.fail_after(deadline):
                answer = await self._exchange(head, body or b"")
        except TimeoutError as error:
            self.close()
            self._around.tally.failed("no answer in time")
            raise PlatformUnreachable(f"no answer from the platform within {deadline:g} s") from error
        except OSError as error:
            self.close()
            raise PlatformUnreachable("the platform cannot be reached") from error
        except BaseException:
            self.close()  # its answer may still come, and would be taken for that of the next request
            raise
        if not answer.success:
            self._around.tally.failed(f"status {answer.status}")
        return answer

    async def _exchange(self, head: h11.Request, body: bytes) -> Answer:
        fate = self._around.faults.fate(self._rng)
        self.spoiled = fate in {"hung up", "lost"}
        if fate == "hung up":
            await self._send(head, body)
            self._around.tally.lost += 1
            raise ConnectionAbortedError("hung up on purpose")
        answer = await self._ask(head, body)
        if fate == "lost":
            self._around.tally.lost += 1
            raise ConnectionAbortedError("lost on purpose")
        if fate == "repeated":
            self._around.tally.repeated += 1
            return await self._ask(head, body)
        return answer

    async def _ask(self, head: h11.Request, body: bytes) -> Answer:
        wire = await self._send(head, body)
        try:
            return await wire.answer(self._around.clock)
        except OSError:
            self._around.tally.failed("connection lost")
            raise

    async def _send(self, head: h11.Request, body: bytes) -> Wire:
        wire = await self._connected()
        count(self._around.tally.sent, self._around.clock.monotonic())
        wire.send(head, body)
        return wire

    async def _connected(self) -> Wire:
        if self._wire is not None and self._wire.usable:
            return self._wire
        self.close()
        around = self._around
        address = urlsplit(self._address.base)
        try:
            if around.cut:
                raise ConnectionRefusedError("cut off")
            _, self._wire = await asyncio.get_running_loop().create_connection(
                Wire,
                address.hostname or "",
                address.port or (443 if address.scheme == "https" else 80),
                ssl=self._address.tls if address.scheme == "https" else None,
            )
        except OSError:
            count(around.tally.missed, around.clock.monotonic())
            raise
        return self._wire

    def _head(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> h11.Request:
        address = urlsplit(self._address.base)
        fields = {
            "Host": address.netloc,
            "User-Agent": _USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **({} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}),
            **headers,
        }
        return h11.Request(method=method, target=address.path + path, headers=list(fields.items()))
