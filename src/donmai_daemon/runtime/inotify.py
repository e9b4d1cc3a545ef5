"""Linux tells of changes by a descriptor, so waiting for one costs nothing.

watchfiles, which serves the other systems, looks for news on a tick: 20 wake-ups a second by default, and with a tick
of a second a save is seen up to two seconds late.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import anyio

from donmai_daemon.runtime.places import Places

# sys/inotify.h
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_ONLYDIR = 0x01000000

_NAMES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_CONTENT = _MODIFY | _ATTRIB | _CLOSE_WRITE

QUIET_SECONDS = 0.05
DEBOUNCE_SECONDS = 0.25

_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_READ_BYTES = 64 * 1024


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Inotify:
    """News of `Places`: directories are watched for their names, the file itself for its content.

    Watching directories for content too would wake the daemon for each line of its own log, where configuration and
    state share a directory. A replaced file is a new name first, so the next `Inotify` finds the new file.
    """

    def __init__(
        self, descriptor: int, places: Places, unwatched: list[Path], directories: dict[int, Path]
    ) -> None:
        self._descriptor = descriptor
        self._places = places
        self._directories = directories
        self.unwatched = unwatched
        """What could not be watched (not readable, no watches left)."""

    @classmethod
    @contextmanager
    def listen(cls, places: Places) -> Iterator[Inotify]:
        """News from now on. Raises `OSError` where the process or the user has no inotify instance left."""
        descriptor = _library().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            watched = {directory: _add(descriptor, directory, _NAMES) for directory in places.names}
            unwatched = [directory for directory, watch in watched.items() if watch < 0]
            # A file that is gone by now was news of its directory first.
            if (
                places.file is not None
                and _add(descriptor, places.file, _CONTENT) < 0
                and os.path.lexists(places.file)
            ):
                unwatched.append(places.file)
            yield cls(
                descriptor,
                places,
                unwatched,
                {watch: directory for directory, watch in watched.items() if watch >= 0},
            )
        finally:
            os.close(descriptor)

    async def burst(self) -> None:
        """Return after a change that matters, once it is quiet or the debounce is over: one save is many changes."""
        await self._news()
        with anyio.move_on_after(DEBOUNCE_SECONDS):
            quiet = False
            while not quiet:
                with anyio.move_on_after(QUIET_SECONDS) as pause:
                    await self._news()
                quiet = pause.cancelled_caught

    async def _news(self) -> None:
        """Return when something happened that matters, at once if it already has."""
        while not self._read():
            await anyio.wait_readable(self._descriptor)

    def _read(self) -> bool:
        """Take every event there is; whether one of them matters."""
        matters = False
        with suppress(BlockingIOError):
            while True:
                data = os.read(self._descriptor, _READ_BYTES)
                matters = any(self._matters(watch, name) for watch, name in _events(data)) or matters
        return matters

    def _matters(self, watch: int, name: str) -> bool:
        """Whatever is not about a name (the file itself, a directory that moved, lost events) matters."""
        directory = self._directories.get(watch)
        return directory is None or not name or self._places.concern(directory, name)


def _add(descriptor: int, path: Path, mask: int) -> int:
    return int(_library().inotify_add_watch(descriptor, os.fsencode(path), ctypes.c_uint32(mask)))


def _events(data: bytes) -> Iterator[tuple[int, str]]:
    """Watch and name ("" for the watched thing itself) of each event in `data`."""
    offset = 0
    while offset < len(data):
        watch, _mask, _cookie, length = _HEAD.unpack_from(data, offset)
        offset += _HEAD.size
        yield watch, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length
