"""Where an operator's verb finds the platform's data, and in whose name it acts."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from donmai_daemon.cli.endpoints import home
from donmai_daemon.clock import SystemClock
from donmai_daemon.errors import UsageError
from donmai_daemon.log.setup import setup
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnusable
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.store.location import Directory, Location, Servers, open_store
from donmai_daemon.platform.store.opened import Opened
from donmai_daemon.platform.store.sqlite.database import FILE

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console

T = TypeVar("T")
CLOCK = SystemClock()
NAMES = Names()


def location(arguments: Namespace, console: Console) -> Location:
    """What the options say, else the environment, else the usual place. Raises `UsageError` where options contradict.

    The addresses may hold passwords, and everyone on the machine can read a command line.
    """
    if arguments.data_dir:
        if arguments.database_url or arguments.redis_url:
            raise UsageError(
                "--data-dir names the embedded store: it does not go with --database-url and --redis-url"
            )
        return Directory(Path(arguments.data_dir).absolute())
    database_url = arguments.database_url or console.environ.get("DONMAI_DATABASE_URL")
    redis_url = arguments.redis_url or console.environ.get("DONMAI_REDIS_URL")
    if database_url or redis_url:
        if not (database_url and redis_url):
            raise UsageError(
                "--database-url and --redis-url go together: the scaled store needs both servers",
                hint=f"set {'DONMAI_REDIS_URL' if database_url else 'DONMAI_DATABASE_URL'} or give it as an option",
            )
        return Servers(Secret(database_url), Secret(redis_url))
    base = console.environ.get("XDG_STATE_HOME", "")
    state = Path(base) if base.startswith("/") else home(console.environ) / ".local" / "state"
    return Directory(state / "donmai-platform")


def on_store(
    arguments: Namespace, console: Console, act: Callable[[Opened], Awaitable[T]], *, may_make: bool = False
) -> T:
    """What `act` returns, given the open store. Raises `StoreUnusable`, and what `act` raises.

    Only with `may_make` an embedded store is made where there is none: a verb that was not told the directory would look
    into an empty one, or queue work that nobody serves.
    """
    place = location(arguments, console)
    if isinstance(place, Directory) and not may_make and not (place.path / FILE).exists():
        raise StoreUnusable(
            f"no platform keeps its data in {place.path}",
            hint="give this verb what `donmai platform serve` is given: --data-dir, or --database-url and --redis-url",
        )

    async def run() -> T:
        async with open_store(place) as opened:
            return await act(opened)

    # What a verb did is its answer; its log is for what goes wrong, and never on standard output.
    logging = setup("warning", "auto", sys.stderr)
    try:
        return anyio.run(run)
    finally:
        logging.close()


def operator() -> str:
    """Who works on this machine, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"
