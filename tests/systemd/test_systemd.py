"""Messages to the service manager."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from donmai_daemon.systemd import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A real datagram socket, as the service manager has one, and the `NOTIFY_SOCKET` that leads to it."""
    name = f"@donmai-test-{secrets.token_hex(8)}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        listener.settimeout(5)
        yield name, listener


def test_states_arrive_as_the_manager_reads_them(manager: tuple[str, socket.socket]) -> None:
    """One datagram a state, assignments on lines of their own, a status never longer than its line."""
    address, listener = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
    assert notifier.enabled
    assert notifier.ready("last beat accepted")
    assert listener.recv(4096) == b"READY=1\nSTATUS=last beat accepted"
    assert notifier.status("pending: 3\nMAINPID=1")
    assert listener.recv(4096) == b"STATUS=pending: 3 MAINPID=1"
    assert notifier.watchdog()
    assert listener.recv(4096) == b"WATCHDOG=1"
    assert notifier.stopping()
    assert listener.recv(4096) == b"STOPPING=1"
    assert notifier.stopping("draining", seconds=660.5)
    assert listener.recv(4096) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=660500000\nSTATUS=draining"
    before = time.monotonic_ns() // 1000
    assert notifier.reloading()
    reloading, stamp = listener.recv(4096).decode().split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    """Outside systemd the same calls are made, and do nothing."""
    notifier = Notifier.from_environ(environ)
    assert not notifier.enabled
    assert not notifier.ready()
    assert not notifier.watchdog()


def test_a_manager_that_does_not_listen_is_no_failure(tmp_path: Path) -> None:
    """The call says so and raises nothing."""
    assert not Notifier(str(tmp_path / "nobody")).ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"}, None),
    ],
)
def test_the_watchdog_interval(environ: dict[str, str], seconds: float | None) -> None:
    """Half the tolerated time, and only for the process that is watched."""
    assert watchdog_interval(environ, pid=77) == seconds
