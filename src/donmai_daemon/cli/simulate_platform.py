"""The platform that is simulated against: one of our own for the time being, or one that runs."""

from __future__ import annotations

import socket
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import anyio

from donmai_daemon.cli.dev_directory import child_environment
from donmai_daemon.cli.dev_environment import LOOPBACK, OURSELVES, free_port
from donmai_daemon.cli.logs import last_lines
from donmai_daemon.cli.platform_store import CLOCK, NAMES, location, operator
from donmai_daemon.cli.simulate_processes import running
from donmai_daemon.errors import DonmaiError, UsageError
from donmai_daemon.link.address import is_loopback
from donmai_daemon.link.credentials import TOKEN_VARIABLE
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.records.keys import Role
from donmai_daemon.platform.service.keys import Keys
from donmai_daemon.platform.store.location import Directory, Location, open_store
from donmai_daemon.simulate.messages import Order

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterator, Mapping

    from donmai_daemon.cli.console import Console
    from donmai_daemon.cli.simulate_processes import Fleet

ORG = "simulation"
_ROLES: tuple[Role, ...] = ("admin", "worker")
_KEY_VARIABLE = "DONMAI_API_KEY"
_START_SECONDS = 60.0
_END_SECONDS = 15.0
_NO_LIMIT = 1_000_000
_LAST_LINES = 10


class Target(Protocol):
    """A platform. `admin` is None where it is not needed, and none was given."""

    url: str
    worker: Secret
    admin: Secret | None

    async def go_away(self, fleet: Fleet) -> None:
        """Answer nobody any more."""
        ...

    async def come_back(self, fleet: Fleet) -> None:
        """Be there again when this returns."""
        ...


class GivenPlatform:
    """One that runs. It is not ours to stop: when it has to be away, the machines' network is cut."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        """Raises `UsageError` for another machine's platform, or without a key to register with."""
        if not is_loopback(urlsplit(url).hostname or ""):
            raise UsageError(
                f"{url} is not on this machine, and a simulation is load and faults on purpose",
                hint="run it beside the platform, with --url http://127.0.0.1:PORT",
            )
        token, key = environ.get(TOKEN_VARIABLE), environ.get(_KEY_VARIABLE)
        if not token:
            raise UsageError(
                f"--url takes a key to register with in {TOKEN_VARIABLE}",
                hint="make one: donmai platform key create --org ORG --role worker",
            )
        self.url = url
        self.worker = Secret(token)
        self.admin = Secret(key) if key else None

    async def go_away(self, fleet: Fleet) -> None:
        await fleet.order(Order("cut"))

    async def come_back(self, fleet: Fleet) -> None:
        await fleet.order(Order("mend"))


class OwnPlatform:
    """`donmai platform serve` in a process of its own, on a port that stays the same when it is started again."""

    def __init__(
        self,
        place: Location,
        interval: float,
        environ: Mapping[str, str],
        keys: tuple[Secret, Secret],
        log: Path,
    ) -> None:
        """`keys` are an admin's and a worker's; `log` gets what it logs."""
        self._port = port = free_port(0)
        options = [
            "--host", LOOPBACK, "--port", str(port), "--heartbeat-interval", f"{interval:g}",
            "--rate-limit", str(_NO_LIMIT),  # a thousand machines behind one key are the point here
            "--log-level", "warning", "--json",
        ]  # fmt: skip
        store: dict[str, str] = {}
        if isinstance(place, Directory):
            options += ["--data-dir", str(place.path)]
        else:  # addresses may hold passwords, and everyone can read a command line
            store = {
                "DONMAI_DATABASE_URL": place.database_url.reveal(),
                "DONMAI_REDIS_URL": place.redis_url.reveal(),
            }
        self._command = [*OURSELVES, "platform", "serve", *options]
        self._environ = {**child_environment(environ), **store}
        self._log = log
        self._process = AsyncExitStack()
        self._guard: socket.socket | None = None
        self.url = f"http://{LOOPBACK}:{port}"
        self.admin: Secret | None
        self.admin, self.worker = keys

    async def start(self) -> None:
        """Serve; returns when it says that it does."""
        with self._log.open("ab") as log:
            process = await self._process.enter_async_context(
                running(self._command, self._environ, log, _END_SECONDS)
            )
        assert process.stdout is not None
        with anyio.move_on_after(_START_SECONDS):
            if await process.stdout.readline():
                return
        with self._log.open("rb") as log:
            said = " · ".join(last_lines(log, _LAST_LINES))
        raise DonmaiError(f"the platform did not start: {said[-500:]}")

    async def stop(self) -> None:
        """End it in order, if it runs."""
        if self._guard is not None:
            self._guard.close()
        await self._process.aclose()

    async def go_away(self, fleet: Fleet) -> None:
        await self.stop()
        # Nobody listens there now, and with this nobody else begins to: the machines would send it their tokens.
        self._guard = guard = socket.socket()
        guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            guard.bind((LOOPBACK, self._port))
        except OSError as error:
            raise DonmaiError(f"another program took the platform's port {self._port}: {error.strerror}") from error

    async def come_back(self, fleet: Fleet) -> None:
        assert self._guard is not None
        self._guard.close()
        await self.start()


@asynccontextmanager
async def platform(arguments: Namespace, console: Console) -> AsyncIterator[Target]:
    """What the options name, ready to be asked. Raises `UsageError`, `StoreUnusable`, `DonmaiError`."""
    if arguments.url:
        if arguments.data_dir or arguments.database_url or arguments.redis_url:
            raise UsageError("--url names a platform that runs: it does not go with options of a store")
        yield GivenPlatform(arguments.url, console.environ)
        return
    with tempfile.TemporaryDirectory(prefix="donmai-simulate-") as directory:
        if not (arguments.data_dir or arguments.database_url or arguments.redis_url):
            arguments.data_dir = str(Path(directory) / "platform")
        place = location(arguments, console)
        async with _keys(place) as keys:
            own = OwnPlatform(place, arguments.interval, console.environ, keys, Path(directory) / "platform.log")
            try:
                await own.start()
                yield own
            finally:
                with anyio.CancelScope(shield=True):
                    await own.stop()


@asynccontextmanager
async def _keys(place: Location) -> AsyncIterator[tuple[Secret, Secret]]:
    """An admin's and a worker's key, good for as long as the context lasts."""
    async with open_store(place) as opened:
        keys = Keys(opened.store, CLOCK, NAMES)
        made = [await keys.create(ORG, role, "simulation", operator()) for role in _ROLES]
    try:
        admin, worker = (key.text for key in made)
        yield admin, worker
    finally:
        with anyio.CancelScope(shield=True):
            async with open_store(place) as opened:
                for key in made:
                    await Keys(opened.store, CLOCK, NAMES).revoke(key.record.id, operator())
