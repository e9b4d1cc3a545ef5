"""One platform process: a socket, signals, and an end in good order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskStatus
from starlette.types import ASGIApp
from uvicorn import Config, Server

from donmai_daemon.errors import AddressUnavailable
from donmai_daemon.platform.assembly import Platform
from donmai_daemon.platform.http.protocol import PlatformProtocol
from donmai_daemon.systemd import Notifier

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
"""More than two beats at the usual interval, so that a daemon need not connect anew for each."""
_OWN = "--host takes an address of this machine; 0.0.0.0 is all of them"
_GRACE_SECONDS = 5
_COLLECT = (20_000, 50, 100)
"""A request makes hundreds of objects that are gone with it. By default some of them would set off a search for cycles, which
finds nothing, every few requests: a tenth of the CPU."""
_LINGER_SECONDS = 0.2
"""How long a process that stops goes on reading from the connections it has: longer than a request is on its way."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to one address; port 0 takes a free one. Raises `AddressUnavailable`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named: asyncio turns Nagle's delay off (40 ms an answer) only where it reads IPPROTO_TCP.
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressUnavailable(f"{host} is no address to listen on: {error.strerror}", hint=_OWN) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        hint = _OWN if error.errno == errno.EADDRNOTAVAIL else "give another --port; 0 takes a free one"
        raise AddressUnavailable(f"cannot listen on {host}:{port}: {error.strerror}", hint=hint) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """`http://<address>:<port>` of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    platform: Platform,
    bound: socket.socket,
    on_ready: Callable[[], None],
    notifier: Notifier,
    arrival: float,
    watchdog: float | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and return; a second signal cuts that short.

    A request has `arrival` seconds to be here. `notifier` is told of the stop, and every `watchdog` seconds that the
    event loop turns.
    """
    _allow_many_connections()
    gc.set_threshold(*_COLLECT)
    await platform.tokens.ensure_signing_key()
    server = _Server(platform.app, bound, on_ready, arrival)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_stop_on_signals, server, platform, notifier)
        tasks.start_soon(_feed, notifier, watchdog)
        tasks.start_soon(platform.dispatch.sweep_for_ever)
        await server.serve(sockets=[bound])
        tasks.cancel_scope.cancel()


class _Server(Server):
    """uvicorn's server, without its tick of ten times a second and without its hold on signals."""

    def __init__(self, app: ASGIApp, bound: socket.socket, on_ready: Callable[[], None], arrival: float) -> None:
        super().__init__(
            Config(
                app,
                http=partial(PlatformProtocol, arrival=arrival),  # type: ignore[arg-type]  # called as a class is
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                workers=1,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._bound = bound
        self._on_ready = on_ready
        self._stop = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self._on_ready()
        await self._stop.wait()
        # What comes from now on, on connections that are there, is answered, with the word that it is the last answer there:
        # 1. a proxy sends a request on a connection that it has kept;   2. the connection is closed before it was read;
        # 3. nobody can tell whether it was done.
        self.server_state.default_headers = [(b"connection", b"close")]
        await self._stop_listening()
        await anyio.sleep(_LINGER_SECONDS)

    async def _stop_listening(self) -> None:
        """Close the listening socket, and take whoever has connected by then: the kernel would reset those in its queue."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._bound)
        # Those that asyncio has taken begin now: it would drop them once the server is closed.
        await anyio.lowlevel.checkpoint()
        waiting: list[socket.socket] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(self._bound.accept()[0])
        for server in self.servers:
            server.close()
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )  # type: ignore[call-arg]  # asyncio.Protocol to its types; uvicorn calls it like this

    def stop(self) -> None:
        """End in good order; called again, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._stop.set()


async def _feed(notifier: Notifier, watchdog: float | None) -> None:
    """Say that this loop turns, never whether the store answers: starting again helps against the one and not the other."""
    while watchdog is not None:
        notifier.watchdog()
        await anyio.sleep(watchdog)


async def _stop_on_signals(
    server: _Server,
    platform: Platform,
    notifier: Notifier,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    log = structlog.get_logger("platform.serve")
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for received in signals:
            log.info("platform.stopping", signal=received.name)
            notifier.stopping()
            server.stop()
            platform.beats.end_holds()


def _allow_many_connections() -> None:
    """A held beat is an open connection: take as many descriptors as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
