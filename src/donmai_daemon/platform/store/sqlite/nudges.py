"""Wake-ups from other processes on the same data directory: `donmai platform work enqueue` ends a held beat at once.

A datagram on a unix socket beside the file. One that is lost costs no more than the rest of the wait: what is new is
in the file, and is found by the next look.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import structlog

from donmai_daemon.platform.wakeups import LocalWakeups

_NAME = "wakeups.sock"
_LONGEST = 1024


class Nudges:
    """Implements `Wakeups` for a process that does not serve: tells the one that does, where there is one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def publish(self, topic: str, most: int | None = None) -> None:
        message = f"{most or 0} {topic}".encode()
        with (
            contextlib.suppress(OSError),  # nobody serves, or its queue is full
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            _address(self._directory) as address,
        ):
            sender.setblocking(False)
            sender.sendto(message, address)


async def receive_nudges(directory: Path, wakeups: LocalWakeups) -> None:
    """Hand on what other processes tell, until cancelled. Only for the process that holds the lock of `directory`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver, _address(directory) as address:
        receiver.setblocking(False)
        try:
            (directory / _NAME).unlink(missing_ok=True)  # of a process that was killed
            receiver.bind(address)
            (directory / _NAME).chmod(0o600)
        except OSError as error:
            # A path too long for an address, or a file system without sockets. The next look finds the news as well.
            structlog.get_logger("platform.store").warning("nudges.not_received", reason=str(error))
            return
        try:
            while True:
                await anyio.wait_readable(receiver)
                with contextlib.suppress(OSError, ValueError):
                    most, _, topic = receiver.recv(_LONGEST).decode().partition(" ")
                    wakeups.wake(topic, int(most) or None)
        finally:
            with contextlib.suppress(OSError):
                (directory / _NAME).unlink()


@contextlib.contextmanager
def _address(directory: Path) -> Iterator[str]:
    """A name for the socket that fits into the 107 bytes of an address, however long the path is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = directory / _NAME
        short = Path(f"/proc/self/fd/{descriptor}/{_NAME}")
        yield str(path if len(os.fsencode(path)) <= 100 or not short.parent.exists() else short)
    finally:
        os.close(descriptor)
