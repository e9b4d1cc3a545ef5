"""News by watchfiles, for systems without inotify (macOS: FSEvents)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from watchfiles._rust_notify import RustNotify

from donmai_daemon.runtime.places import Places

TICK_MILLISECONDS = 250
"""watchfiles sleeps this long between looks at what the system told it; two looks that find the same end a burst."""


class Ticking:
    """News of `Places`. watchfiles' own `awatch` is not used: it cannot begin to listen before it is waited for, and
    a cancelled scope does not reach its thread."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._notify = RustNotify(
            [str(directory) for directory in places.names],
            debug=False,
            force_polling=False,
            poll_delay_ms=0,
            recursive=False,
            ignore_permission_denied=True,
        )
        self.unwatched: list[Path] = []

    @classmethod
    @contextmanager
    def listen(cls, places: Places) -> Iterator[Ticking]:
        """News from now on. Raises `OSError` where the system refuses."""
        news = cls(places)
        try:
            yield news
        finally:
            news._notify.close()

    async def burst(self) -> None:
        """Return after changes that matter, once they have paused. A cancelled wait ends within a tick."""
        stop = threading.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(_set_when_cancelled, stop)
            while not self._matter(await anyio.to_thread.run_sync(self._take, stop)):
                pass
            group.cancel_scope.cancel()

    def _take(self, stop: threading.Event) -> set[tuple[int, str]]:
        """Blocking: the next changes, none when `stop` was set."""
        changes = self._notify.watch(TICK_MILLISECONDS, TICK_MILLISECONDS, 0, stop)
        return changes if isinstance(changes, set) else set()

    def _matter(self, changes: set[tuple[int, str]]) -> bool:
        paths = [Path(path) for _change, path in changes]
        return any(self._places.concern(path.parent, path.name) or path in self._places.names for path in paths)


async def _set_when_cancelled(stop: threading.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()
