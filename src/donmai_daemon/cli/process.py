"""Other processes, by their id."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists, of whichever user."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def lock_holder(lock: Path) -> int | None:
    """The process that wrote its id into a lock file, where it still lives. The lock itself is not tried: whoever starts at
    this moment would find it taken."""
    try:
        pid = int(lock.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return pid if is_alive(pid) else None
