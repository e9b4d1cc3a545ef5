"""Where a platform's data is, and how it is opened."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from donmai_daemon.clock import Clock
from donmai_daemon.platform.store.opened import Opened, Serving
from donmai_daemon.platform.store.sqlite.store import open_sqlite, serve_sqlite


@dataclass(frozen=True, slots=True)
class Location:
    """The embedded store in `directory`."""

    directory: Path


def open_store(location: Location) -> AbstractAsyncContextManager[Opened]:
    """The store at `location`, for a verb. Raises `StoreUnusable`."""
    return open_sqlite(location.directory)


def open_store_to_serve(location: Location, clock: Clock) -> AbstractAsyncContextManager[Serving]:
    """The store at `location`, for a process that serves. Raises `StoreUnusable`."""
    return serve_sqlite(location.directory, clock)
