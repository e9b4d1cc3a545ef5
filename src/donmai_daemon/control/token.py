"""The control token: made once, kept private, compared in constant time."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from donmai_daemon.errors import StateDirectoryUnusable

_TOKEN = re.compile(rb"[0-9A-Fa-f]{64}")
_PRIVATE = 0o600


class ControlToken:
    """64 hex digits that show up in no log, no message and no repr."""

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        if not _TOKEN.fullmatch(digits.encode("utf-8", "replace")):
            raise ValueError("a control token is 64 hex digits")
        self._digits = digits.encode("ascii")

    def matches(self, presented: bytes | None) -> bool:
        """Whether `presented` is this token, in a time that does not tell how much of it is right."""
        return presented is not None and hmac.compare_digest(presented, self._digits)

    def reveal(self) -> str:
        """The digits, for a caller that has to present them."""
        return self._digits.decode("ascii")

    def __repr__(self) -> str:
        return "ControlToken(…)"


def load_or_create(path: Path) -> ControlToken:
    """The token in `path`, made at first start.

    Raises `StateDirectoryUnusable` where the file is not ours, not private, not a plain file, or not a token: a
    token that others may have read or written protects nothing.
    """
    with contextlib.suppress(FileExistsError):
        if not os.path.lexists(path):
            _create(path)
    return _load(path)


def _create(path: Path) -> None:
    """Raises `FileExistsError` where somebody was quicker.

    Written beside, then linked: a crash halfway leaves no short token that would keep the daemon from starting.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_hex(32).encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)
        finally:
            beside.unlink()
        _fsync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise StateDirectoryUnusable(f"control token {path} cannot be created: {error.strerror}") from error


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> ControlToken:
    # O_NONBLOCK: opening somebody's named pipe must not hang.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise _unusable(path, reason) from error
    try:
        _check(path, os.fstat(descriptor))
        digits = os.read(descriptor, 128).removesuffix(b"\n")
    finally:
        os.close(descriptor)
    if not _TOKEN.fullmatch(digits):
        raise _unusable(path, "does not hold 64 hex digits")
    return ControlToken(digits.decode("ascii"))


def _check(path: Path, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise _unusable(path, "is not a plain file")
    if about.st_uid != os.geteuid():
        raise _unusable(path, f"belongs to user {about.st_uid}, not to the daemon's own")
    mode = stat.S_IMODE(about.st_mode)
    if mode & ~_PRIVATE:
        raise StateDirectoryUnusable(
            f"control token {path} has mode {mode:04o}, which lets others use it", hint=f"chmod 600 {path}"
        )


def _unusable(path: Path, reason: str) -> StateDirectoryUnusable:
    return StateDirectoryUnusable(
        f"control token {path} {reason}", hint=f"remove {path}; a new token is made at the next start"
    )
