"""Tells when the configuration file may have changed, however it is saved.

A file watch goes blind when an editor renames a new file over the old one, and never sees Kubernetes swap `..data`.
So what is watched is every directory on the way: that of the path, that of each symlink, that of the file at the end.
Bind mounts and network file systems tell nothing: for them there is a slow round.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol, TypeAlias

import anyio
import structlog
from anyio.abc import TaskStatus

from donmai_daemon.runtime.places import Places, find_places

POLL_SECONDS = 45.0


class News(Protocol):
    """Word of changes since it was opened."""

    unwatched: list[Path]

    async def burst(self) -> None:
        """Return after a change that matters, when the changes have paused or gone on for a quarter of a second."""
        ...


Listen: TypeAlias = Callable[[Places], AbstractContextManager[News]]


def native_listen(places: Places) -> AbstractContextManager[News]:
    """The system's own way, imported on demand: what the other systems need is not loaded here."""
    if sys.platform == "linux":
        from donmai_daemon.runtime.inotify import Inotify

        return Inotify.listen(places)
    else:  # noqa: RET505 - mypy takes an else for another platform, and code after a return for dead
        from donmai_daemon.runtime.ticking import Ticking

        return Ticking.listen(places)


class Watcher:
    """Calls `changed` once at the start, after each burst of changes, and every `poll_seconds`.

    `changed` reads the file and decides by its digest whether anything is new; our own writes are news like any other
    here. What it raises ends the watching.
    """

    def __init__(
        self,
        path: Path,
        changed: Callable[[], Awaitable[object]],
        *,
        listen: Listen = native_listen,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._path = path
        self._changed = changed
        self._listen = listen
        self._poll_seconds = poll_seconds
        self._complaint = ""
        self._log = structlog.get_logger("watcher")

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled. Started means: a change from now on will be told.

        No change is lost between two rounds, because each round listens before `changed` reads:
        1. a change before the listening begins: `changed` reads it;
        2. after, but before the reading: `changed` reads it, and the news of it leads to one idle reading more;
        3. after the reading: it is news;
        4. a symlink swapped between finding the places and listening: the places are found again and differ.
        """
        while True:
            places = await self._find_places()
            with ExitStack() as stack:
                news = self._open(places, stack)
                task_status.started()
                task_status = anyio.TASK_STATUS_IGNORED
                await self._changed()
                if await self._find_places() != places:
                    continue
                with anyio.move_on_after(self._poll_seconds):
                    await (anyio.sleep_forever() if news is None else news.burst())

    async def _find_places(self) -> Places:
        """In a thread that nobody waits for at the end: a network file system may hang, and it only looks."""
        return await anyio.to_thread.run_sync(find_places, self._path, abandon_on_cancel=True)

    def _open(self, places: Places, stack: ExitStack) -> News | None:
        """None where the system has nothing to give; the slow round remains."""
        try:
            news = stack.enter_context(self._listen(places))
        except OSError as error:
            self._complain(error.strerror or str(error))
            return None
        self._complain(", ".join(sorted(map(str, news.unwatched))))
        return news

    def _complain(self, complaint: str) -> None:
        """Once, not every round."""
        if complaint and complaint != self._complaint:
            self._log.warning("watcher.blind", reason=complaint, polled_every_seconds=self._poll_seconds)
        self._complaint = complaint
