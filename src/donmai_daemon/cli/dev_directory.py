"""The directory that `donmai dev` keeps everything in: keys, configuration, state, logs; one environment at a time."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from donmai_daemon.cli.dev_record import record_path
from donmai_daemon.cli.process import lock_holder
from donmai_daemon.compose import private_directory
from donmai_daemon.errors import AlreadyRunning
from donmai_daemon.paths import StatePaths
from donmai_daemon.store.atomic import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LEFTOVERS_SECONDS = 20.0
_LOOK_SECONDS = 0.1

_INITIAL = b"""\
# The configuration of your development daemon. It is yours: edit it, comment it, put it in any order.
# A mutation from the platform changes one entry and leaves every other byte of this file alone.
# Every key there is: config.example.toml.

[capacity]
max_sessions = 2   # 0 takes no work at all

[remote]
default = "apply"  # "deny" refuses whatever the platform asks for

# Projects that this machine takes work for. `donmai mutation enqueue project.add` puts one more below.
[projects.hello]
repositories = ["https://github.com/acme/hello.git"]  # as you write it is as it stays
"""


class Keys(NamedTuple):
    """The keys of the development platform: one to give orders with, one to register the daemon with."""

    admin: str
    worker: str


class DevDirectory:
    """Names of files, and the lock that makes this process the only one to use them."""

    def __init__(self, root: Path, wait: Callable[[float], None] = time.sleep) -> None:
        """Make the directory, 0700, and lock it; `wait` is called while the children of a killed `donmai dev` still end.

        Raises `AlreadyRunning` where another `donmai dev` has it, `StateDirectoryUnusable` where it cannot be had.
        """
        private_directory(root)
        self.root = root
        self.config = root / "daemon.toml"
        self.state = StatePaths(root / "state")
        self.platform_data = root / "platform"
        self.record = record_path(root)
        self._keys = root / "keys.json"
        self.lock = _lock(root / "dev.lock", wait)
        """Descriptor of the lock; who inherits it holds it too."""

    def close(self) -> None:
        """Take the record away and give the lock back."""
        self.record.unlink(missing_ok=True)
        os.close(self.lock)

    def log(self, name: str) -> Path:
        """Where a child's output goes."""
        return self.root / f"{name}-output.log"

    def provide_config(self) -> None:
        """Write a first configuration; one that is there is left alone, whatever it says."""
        if not os.path.lexists(self.config):
            write_private(self.config, _INITIAL)

    def read_keys(self) -> Keys | None:
        """The keys of an earlier run, None where there are none."""
        try:
            stored: object = json.loads(self._keys.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(stored, dict):
            return None
        admin, worker = stored.get("admin"), stored.get("worker")
        return Keys(admin, worker) if isinstance(admin, str) and isinstance(worker, str) else None

    def write_keys(self, keys: Keys) -> None:
        """Keep the keys for the next run: the platform stores only their digests."""
        write_private(self._keys, json.dumps(keys._asdict()).encode() + b"\n")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the children: nothing in it that means another daemon, another platform, or a proxy to loopback."""
    foreign = (
        "DONMAI_",
        "STATE_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_",
        "LISTEN_",
        "JOURNAL_STREAM",
    )
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }


def _lock(path: Path, wait: Callable[[float], None]) -> int:
    """The kernel's lock on `path`; the content, the holder's process id, is for people.

    The children inherit the lock, so it is free only when all of them are gone. 1. dev is killed; 2. a new one is
    started; 3. the children of the first, which the kernel has told to end, are still at it. So where the process that
    wrote its id is gone, this waits.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + _LEFTOVERS_SECONDS
        while not _try_lock(descriptor):
            holder = lock_holder(path)
            if holder is not None or time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"donmai dev runs in {path.parent} already" + (f" (pid {holder})" if holder else ""),
                    hint="use that one, end it with Ctrl-C, or start another elsewhere: donmai dev --dir DIR",
                )
            wait(_LOOK_SECONDS)
    except BaseException:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
