"""One daemon a state directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from donmai_daemon.errors import AlreadyRunning


class StateLock:
    """An exclusive lock on the state directory, held until `release` or the end of the process.

    The lock is the kernel's (flock), so a killed daemon leaves none behind; the file's content, the holder's process
    id, is for people only.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> StateLock:
        """Raises `AlreadyRunning` where another process holds the lock. Never waits."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(
                f"another daemon{f' (pid {holder})' if holder else ''} uses the state directory {path.parent}",
                hint="stop it with: donmai host stop, or give this one its own --state-dir",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two daemons lock two different inodes."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
