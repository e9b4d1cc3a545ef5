"""Files of one run: the bounded log behind standard error, and small private files."""

from __future__ import annotations

import os
from pathlib import Path

LOG_BYTES = 10 * 1024 * 1024
"""A session's log is at most twice this: the current file and the one before."""

_STDERR = 2


def write_private(path: Path, data: bytes) -> None:
    """Create `path`, mode 0600. Raises `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


class OutputLog:
    """Writes to standard error. With a `path`, which is what standard error goes to, that file is rotated.

    Rotation replaces the descriptor itself, so that whatever else prints to standard error goes to the new file too.
    """

    def __init__(self, path: Path | None, limit: int = LOG_BYTES, descriptor: int = _STDERR) -> None:
        self._path = path
        self._limit = limit
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write all of `data`. What cannot be written (disk full, nobody reads) is lost; the session goes on."""
        try:
            if self._path is not None and os.fstat(self._descriptor).st_size + len(data) > self._limit:
                self._rotate(self._path)
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return

    def _rotate(self, path: Path) -> None:
        path.replace(path.with_name(f"{path.name}.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.dup2(descriptor, self._descriptor)
        finally:
            os.close(descriptor)
