"""Name lookups that cannot hold up the end of the process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias, TypeVar

_T = TypeVar("_T")

_Found: TypeAlias = (
    "list[tuple[Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]]"
    " | tuple[Literal[socket.AddressFamily.AF_INET6], socket.SocketKind, int, str,"
    " tuple[str, int, int, int] | tuple[int, bytes]]]"
)


class EventLoop(asyncio.SelectorEventLoop):
    """The event loop of the daemon: `anyio.run(…, backend_options={"loop_factory": EventLoop})`.

    A lookup cannot be cancelled. asyncio makes it in a pool of threads, for which it waits when it ends: with a name server
    that does not answer, a process that wants to end would stay for as long as the resolver tries (5 to 30 s). Here each
    lookup has a daemon thread of its own, which is left behind.
    """

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the signature is asyncio's
        proto: int = 0,
        flags: int = 0,
    ) -> _Found:
        return await self._apart(partial(socket.getaddrinfo, host, port, family, type, proto, flags))

    async def _apart(self, call: Callable[[], _T]) -> _T:
        outcome: concurrent.futures.Future[_T] = concurrent.futures.Future()
        outcome.set_running_or_notify_cancel()  # from here on it cannot be cancelled, only left behind

        def run() -> None:
            try:
                outcome.set_result(call())
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to who asked
                outcome.set_exception(error)

        threading.Thread(target=run, name="lookup", daemon=True).start()
        return await asyncio.wrap_future(outcome, loop=self)
