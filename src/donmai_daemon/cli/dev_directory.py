"""The directory that `donmai dev` keeps everything in: keys, configuration, state, logs; one environment at a time."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from donmai_daemon.cli.dev_record import record_path
from donmai_daemon.compose import private_directory
from donmai_daemon.errors import AlreadyRunning
from donmai_daemon.paths import StatePaths
from donmai_daemon.store.atomic import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def __init__(self, root: Path) -> None:
        """Make the directory, 0700, and lock it.

        Raises `AlreadyRunning` where another `donmai dev` has it, `StateDirectoryUnusable` where it cannot be had.
        """
        private_directory(root)
        self.root = root
        self.config = root / "daemon.toml"
        self.state = StatePaths(root / "state")
        self.platform_data = root / "platform"
        self.record = record_path(root)
        self._keys = root / "keys.json"
        self._lock = _lock(root / "dev.lock")

    def close(self) -> None:
        """Take the record away and give the lock back."""
        self.record.unlink(missing_ok=True)
        os.close(self._lock)

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


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise AlreadyRunning(
            f"donmai dev runs in {path.parent} already" + (f" (pid {holder})" if holder else ""),
            hint="use that one, end it with Ctrl-C, or start another elsewhere: donmai dev --dir DIR",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
