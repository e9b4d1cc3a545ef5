"""The configuration file, which belongs to a person: read it when it stands still, replace it only when it is what we read.

The interleavings that matter, with our read R, our swap S, and a person's save P (in place, or by rename):

1. P before R: we read it.
2. P between R and the comparison: the comparison sees it; nothing is swapped.
3. P between the comparison and S: S puts the person's file under our temporary name; we look at what came out, see
   that it is not what we read, and swap it back.
4. P after S, by rename: the file is the person's; what we wrote is in their history, not ours to restore.
5. P after S, in place, by an editor that opened the file before S: it lands in the file that S took out. That file is
   kept, looked at again two seconds later and at the next start, and goes back in if it has changed (`Retained`).

Where the file system cannot exchange two names, S is a hard link of the old file and a plain rename; then 3 is seen
until the link by either kind of save, and from the link to the rename by saves in place only: a save by rename in that
instant is lost. docs/durability.md says so to the user.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from donmai_daemon.errors import ConfigUnwritable
from donmai_daemon.store.atomic import Step, discard, fsync_directory, no_step, write_new
from donmai_daemon.store.exchange import ExchangeUnsupported, exchange
from donmai_daemon.store.metadata import refuse_irregular, reproduce

DEBOUNCE_SECONDS = 0.25
"""A file that changed less than this ago may be half-way through a save (truncate, then write)."""

ABSENT = ""
"""The digest of a file that is not there."""

Fingerprint: TypeAlias = tuple[int, int, int, int]  # device, inode, size, mtime in nanoseconds

_FULL = {errno.ENOSPC, errno.EDQUOT}
_MAX_BYTES = 16 * 1024 * 1024


class ChangedUnderneath(Exception):  # noqa: N818 - a condition, and never seen outside the store and the applier
    """The file is not what we read; the person's version stands. Read again and start over."""


@dataclass(frozen=True, slots=True)
class FileRead:
    """One reading of the file. `target` is the path with every symlink resolved; `status` None: it is not there."""

    target: Path
    data: bytes
    digest: str
    status: os.stat_result | None

    @property
    def exists(self) -> bool:
        return self.status is not None


def digest(data: bytes) -> str:
    """SHA-256 hex, the one digest for file contents."""
    return hashlib.sha256(data).hexdigest()


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read_digest(path: Path) -> str:
    """Digest of the file's bytes, `ABSENT` where there is none."""
    try:
        return digest(path.read_bytes())
    except FileNotFoundError:
        return ABSENT


class ConfigFile:
    """Blocking; used from the store thread only. `wait` sleeps (seconds) and is injected for tests."""

    def __init__(
        self,
        path: Path,
        *,
        step: Step = no_step,
        wait: Callable[[float], None] = time.sleep,
        swap: Callable[[Path, Path], None] = exchange,
    ) -> None:
        self.path = path
        self._step = step
        self._wait = wait
        self._swap = swap
        self._own: Fingerprint | None = None

    def target(self) -> Path:
        """Where the bytes are: the end of the chain of symlinks, which may not exist yet."""
        return self.path.resolve()

    def read(self) -> FileRead:
        """Read the file while it stands still. Raises `ConfigUnwritable` where it never does, or cannot be read."""
        for _ in range(40):
            first = self._read_once()
            if first.status is None or _fingerprint(first.status) == self._own:
                return first
            age = time.time() - first.status.st_mtime
            if not 0 <= age < DEBOUNCE_SECONDS:
                return first
            self._wait(DEBOUNCE_SECONDS - age)
            second = self._read_once()
            if (
                second.status is not None
                and second.digest == first.digest
                and _fingerprint(second.status) == _fingerprint(first.status)
            ):
                return second
        raise ConfigUnwritable("it is being written to all the time")

    def _read_once(self) -> FileRead:
        for _ in range(40):
            target = self.target()
            try:
                before = target.stat()
                refuse_large(before)
                data = target.read_bytes()
                after = target.stat()
            except FileNotFoundError:
                return FileRead(target, b"", ABSENT, None)
            except OSError as error:
                raise ConfigUnwritable(f"it cannot be read: {error.strerror}") from error
            if _fingerprint(before) == _fingerprint(after) and len(data) == after.st_size:
                return FileRead(target, data, digest(data), after)
            self._wait(DEBOUNCE_SECONDS / 10)
        raise ConfigUnwritable("it is being written to all the time")

    def replace(self, read: FileRead, data: bytes, temporary: Path) -> FileRead:
        """Put `data` where `read` was read; afterwards `temporary` names the file that was taken out (unless absent).

        Raises `ChangedUnderneath`: the person's version is in place. Raises `ConfigUnwritable`: nearly always before
        the swap, but an I/O error can come after it, so whoever keeps a plan decides by the digests, as after a crash.
        """
        try:
            ours = self._prepare(read, data, temporary)
            if read.status is None:
                self._create(temporary, read.target)
            else:
                self._exchange(read, temporary, digest(data))
            fsync_directory(read.target.parent)
        except OSError as error:
            if error.errno == errno.EBUSY:
                cause = "it is a mount point (bind-mounted file?)"
            else:
                cause = os.strerror(error.errno) if error.errno else type(error).__name__
            raise ConfigUnwritable(cause, full=error.errno in _FULL) from error
        self._step("file.directory_synced")
        self._own = _fingerprint(ours)
        return FileRead(read.target, data, digest(data), ours)

    def _prepare(self, read: FileRead, data: bytes, temporary: Path) -> os.stat_result:
        """Write the new file beside the old, complete and on disk, and compare the old one with what was read."""
        part = _part(temporary)
        try:
            if read.status is None:
                read.target.parent.mkdir(parents=True, exist_ok=True)
            else:
                refuse_irregular(read.target, read.status)
            # A file under the temporary name is always complete, so that recovery can tell a person's save from a
            # torn write of ours: it is written under another name first.
            write_new(part, data)
            self._step("file.part_written")
            if read.status is not None:
                descriptor = os.open(part, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    reproduce(descriptor, read.target, read.status)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            part.rename(temporary)
            self._step("file.temporary_named")
            ours = temporary.stat()
            if self.target() != read.target or self._read_once().digest != read.digest:
                raise ChangedUnderneath
        except BaseException:
            for name in (part, temporary):
                with contextlib.suppress(OSError):
                    name.unlink()
            raise
        self._step("file.compared")
        return ours

    def _create(self, temporary: Path, target: Path) -> None:
        try:
            os.link(temporary, target)  # unlike a rename, a link never replaces a file that a person just made
        except FileExistsError as error:
            raise ChangedUnderneath from error
        self._step("file.swapped")
        temporary.unlink()

    def _exchange(self, read: FileRead, temporary: Path, after: str) -> None:
        try:
            self._swap(temporary, read.target)
        except ExchangeUnsupported:
            self._link_and_rename(read, temporary)
        self._step("file.swapped")
        if read_digest(temporary) != read.digest:
            self.put_back(temporary, read.target, {read.digest, after})
            raise ChangedUnderneath
        self._step("file.inspected")

    def put_back(self, temporary: Path, target: Path, known: set[str]) -> None:
        """Swap a person's save back in, and remove what comes out if its digest is `known` to be no person's.

        A save may land between two swaps; then the newest one goes in, and the one it was made over is no longer kept.
        """
        known = set(known)
        for _ in range(16):
            going_in = read_digest(temporary)
            try:
                self._swap(temporary, target)
            except ExchangeUnsupported:
                temporary.replace(target)
            except FileNotFoundError:  # the target went away meanwhile
                temporary.rename(target)
            self._own = None
            fsync_directory(target.parent)
            if not temporary.exists():
                return
            if read_digest(temporary) in known:
                temporary.unlink()
                return
            known.add(going_in)
            self._step("file.put_back_again")
        # Somebody saves faster than we swap: their file is in place, the other stays beside it for them to see.

    def _link_and_rename(self, read: FileRead, temporary: Path) -> None:
        old = _old(temporary)
        linked = True
        try:
            os.link(read.target, old)
        except OSError:
            linked = False  # no hard links here either: what a late save in place writes cannot be seen
        self._step("file.linked")
        temporary.rename(read.target)
        self._step("file.renamed")
        if linked:
            old.rename(temporary)
        else:
            write_new(temporary, read.data)

    def settle_names(self, temporary: Path) -> None:
        """After a crash: finish or forget the intermediate names of one replacement."""
        discard(_part(temporary))
        old = _old(temporary)
        if old.exists():
            if temporary.exists():
                old.unlink()  # linked, but not yet renamed over
            else:
                old.rename(temporary)

    def forget_own(self) -> None:
        """Treat the file like anybody's at the next read."""
        self._own = None


def refuse_large(status: os.stat_result) -> None:
    """Raises `ConfigUnwritable` for a file that cannot be a configuration, before it fills the memory."""
    if status.st_size > _MAX_BYTES:
        raise ConfigUnwritable(f"it has {status.st_size} bytes, and {_MAX_BYTES} is the most that is read")


def _part(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + ".part")


def _old(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + ".old")
