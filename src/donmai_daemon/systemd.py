"""Telling the service manager how we are: sd_notify(3), by hand, over its datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

_SEND_SECONDS = 1.0
"""The manager's socket is never full for long; if it is, a late READY is worse than a lost one."""


class Notifier:
    """Sends states to the service manager; without one (no `NOTIFY_SOCKET`) every call does nothing.

    Each call returns whether the message was handed over. A manager that does not listen is no reason to fail:
    it will notice the silence by its own means.
    """

    def __init__(self, address: str | None) -> None:
        """`address`: a path, or a name in the abstract namespace that begins with `@`. None: nobody to tell."""
        self._address = address

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """For the `NOTIFY_SOCKET` of `environ`. An address of a kind not known here (vsock) is taken for none."""
        address = environ.get("NOTIFY_SOCKET", "")
        return cls(address if address.startswith(("/", "@")) else None)

    @property
    def enabled(self) -> bool:
        return self._address is not None

    def ready(self, status: str | None = None) -> bool:
        """Start-up, or a reload, is complete."""
        return self._send("READY=1", *_status(status))

    def reloading(self) -> bool:
        """The configuration is being read again; `ready` must follow. The stamp lets the manager drop a stale one."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str | None = None, seconds: float | None = None) -> bool:
        """The orderly stop has begun. `seconds`: it may take so long; the manager's own patience grows to that."""
        longer = () if seconds is None else (f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}",)
        return self._send("STOPPING=1", *longer, *_status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """Still making progress. Due every `watchdog_interval`."""
        return self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> bool:
        if self._address is None:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(_SEND_SECONDS)
                channel.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return False
        return True


def watchdog_interval(environ: Mapping[str, str], pid: int | None = None) -> float | None:
    """How often to call `Notifier.watchdog`, in seconds: half of what the manager tolerates, as it recommends.

    None where no watchdog is set, or it is set for another process than `pid` (None: this one).
    """
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
        watched = int(environ.get("WATCHDOG_PID", "") or (pid or os.getpid()))
    except ValueError:
        return None
    if microseconds <= 0 or watched != (pid or os.getpid()):
        return None
    return microseconds / 2_000_000


def _status(text: str | None) -> tuple[str, ...]:
    return () if text is None else (f"STATUS={' '.join(text.split())}",)
