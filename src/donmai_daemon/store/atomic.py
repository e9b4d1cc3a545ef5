"""Replacing whole files so that a crash leaves the old content or the new, never a mixture."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Step: TypeAlias = Callable[[str], None]
"""Called with the name of each durable step just before or after it is taken.

Production passes `no_step`. The crash tests pass a function that ends the process at the step of their choice;
there is no other way to reach it.
"""


def no_step(_name: str) -> None:
    """Take the next step."""


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable. A rename without it may be undone by a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create `path` with `data`, on disk when this returns. Raises `FileExistsError`; leaves nothing behind on error."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # the umask took bits from the mode given to open()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def discard(path: Path) -> None:
    """Remove a file that may not be there. Raises `OSError` where it is there, and stays.

    A read-only file system refuses to remove a name before it looks whether there is one.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if os.path.lexists(path):
            raise


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, mode 0600, atomically and durably. For files that only this program writes."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    write_new(temporary, data)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)
