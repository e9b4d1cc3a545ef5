"""What a file is besides its bytes: owner, mode, extended attributes (access-control lists are among them)."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

from donmai_daemon.errors import ConfigUnwritable

_NO_ATTRIBUTES = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def refuse_irregular(target: Path, status: os.stat_result) -> None:
    """Raises `ConfigUnwritable` where a replacement would not be the same file to everyone who has it."""
    if not stat.S_ISREG(status.st_mode):
        raise ConfigUnwritable("it is not a regular file")
    if status.st_nlink > 1:
        raise ConfigUnwritable(
            f"it has {status.st_nlink} hard links, and replacing it would leave the others with the old content",
            hint=f"make it a file of its own, or a symlink: cp {target.name} x && mv x {target.name}",
        )


def reproduce(descriptor: int, source: Path, status: os.stat_result) -> None:
    """Give the open file the owner, the mode and the extended attributes of `source`.

    Raises `ConfigUnwritable` where that cannot be had: a file that loses its owner or its access-control list is
    not the same file to the people who use it.
    """
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError as error:
            raise ConfigUnwritable(
                f"its owner {status.st_uid}:{status.st_gid} cannot be kept",
                hint="let the daemon's own user own the file",
            ) from error
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    if sys.platform == "linux":
        _copy_attributes(descriptor, source)


def _copy_attributes(descriptor: int, source: Path) -> None:
    try:
        wanted = {name: os.getxattr(source, name) for name in os.listxattr(source)}
        present = {name: os.getxattr(descriptor, name) for name in os.listxattr(descriptor)}
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return
        raise
    for name, value in wanted.items():
        if present.get(name) == value:
            continue
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise ConfigUnwritable(f"its extended attribute {name} cannot be kept") from error
    # Inherited from the directory's default list, and not the source's own.
    for name in present.keys() - wanted.keys():
        if name.startswith(("system.posix_acl_", "user.")):
            os.removexattr(descriptor, name)
