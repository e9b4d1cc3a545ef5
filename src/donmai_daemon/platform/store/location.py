"""Where a platform's data is, and how it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from donmai_daemon.clock import Clock
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnusable
from donmai_daemon.platform.store.opened import Opened, Serving
from donmai_daemon.platform.store.sqlite.store import open_sqlite, serve_sqlite


@dataclass(frozen=True, slots=True)
class Directory:
    """The embedded store in a directory."""

    path: Path


@dataclass(frozen=True, slots=True)
class Servers:
    """The scaled store. The addresses may hold passwords."""

    database_url: Secret
    redis_url: Secret


Location: TypeAlias = Directory | Servers


def open_store(location: Location) -> AbstractAsyncContextManager[Opened]:
    """The store at `location`, for a verb. Raises `StoreUnusable`."""
    if isinstance(location, Directory):
        return open_sqlite(location.path)
    with _drivers():
        from donmai_daemon.platform.store.scaled.store import open_scaled
    return open_scaled(location.database_url, location.redis_url)


def open_store_to_serve(location: Location, clock: Clock) -> AbstractAsyncContextManager[Serving]:
    """The store at `location`, for a process that serves. Raises `StoreUnusable`."""
    if isinstance(location, Directory):
        return serve_sqlite(location.path, clock)
    with _drivers():
        from donmai_daemon.platform.store.scaled.store import serve_scaled
    return serve_scaled(location.database_url, location.redis_url, clock)


@contextmanager
def _drivers() -> Iterator[None]:
    """Import the scaled store in here: its drivers are no dependency of an installation without servers."""
    try:
        yield
    except ImportError as error:
        raise StoreUnusable(
            f"the drivers of PostgreSQL and Redis are not installed: {error}",
            hint="pip install 'donmai-daemon[scale]'",
        ) from error
