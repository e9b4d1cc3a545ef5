"""Swapping two names in one step, where the kernel can.

Linux: renameat2(2) with RENAME_EXCHANGE (since 3.15; not on every file system). macOS: renamex_np(2) with RENAME_SWAP.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


class ExchangeUnsupported(Exception):  # noqa: N818 - a condition, and never seen outside the store
    """The kernel or the file system cannot swap two names."""


@cache
def _swap_call() -> Callable[[bytes, bytes], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        name, before, flag = "renamex_np", False, _RENAME_SWAP
    else:
        name, before, flag = "renameat2", True, _RENAME_EXCHANGE
    function = getattr(library, name, None)
    if function is None:
        return None

    def call(one: bytes, other: bytes) -> int:
        if before:
            result = function(_AT_FDCWD, one, _AT_FDCWD, other, ctypes.c_uint(flag))
        else:
            result = function(one, other, ctypes.c_uint(flag))
        return int(result)

    return call


def exchange(one: Path, other: Path) -> None:
    """Swap the two files. Raises `ExchangeUnsupported`, or `OSError` (ENOENT, EBUSY for a bind mount, EACCES, …)."""
    call = _swap_call()
    if call is None:
        raise ExchangeUnsupported
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        raise ExchangeUnsupported
    raise OSError(number, os.strerror(number), str(other))
