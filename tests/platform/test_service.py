"""`donmai platform serve` as a service: what its manager is told, and the units that come with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually

UNITS = Path(__file__).parents[2] / "systemd"
PATIENCE = 30.0


def test_the_manager_is_told(tmp_path: Path) -> None:
    """Ready with the address once requests are answered, alive as often as it was asked to be, stopping on SIGTERM."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(PATIENCE)
        environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000", "WATCHDOG_PID": ""}
        platform = PlatformProcess.embedded(tmp_path, environ=environ)
        with platform:
            told = [manager.recv(4096).decode() for _ in range(4)]
            assert f"READY=1\nSTATUS=serving at {platform.url}" in told
            assert told.count("WATCHDOG=1") >= 2
            assert platform.stop() == 0
        while (last := manager.recv(4096).decode()) == "WATCHDOG=1":
            pass
        assert last == "STOPPING=1"


def test_a_stop_drops_nobody(tmp_path: Path) -> None:
    """Who has connected, or has sent a request on a connection that was kept, before a stop is answered, for the last time."""
    platform = PlatformProcess.embedded(tmp_path)
    with platform, ExitStack() as stack:
        parts = urlsplit(platform.url)
        connections = [HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE) for _ in range(40)]
        for connection in connections:
            stack.callback(connection.close)
        kept, new = connections[:20], connections[20:]
        for connection in kept:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"ok\n"
        os.kill(platform.pid, signal.SIGSTOP)  # so that all that follows is there at once when it goes on
        for connection in (*kept, *new):
            connection.request("GET", "/healthz")
        os.kill(platform.pid, signal.SIGTERM)
        os.kill(platform.pid, signal.SIGCONT)
        answers = [connection.getresponse() for connection in (*kept, *new)]
        assert {answer.read() for answer in answers} == {b"ok\n"}
        assert platform.stop() == 0


def test_a_beat_that_comes_during_a_stop_is_not_held(tmp_path: Path) -> None:
    """It is answered at once: held, it would be cut off when the time to stop is over."""
    platform = PlatformProcess.embedded(tmp_path)
    with platform, ExitStack() as stack:
        worker = platform.register(platform.make_key("worker"))
        platform.beat(worker)
        parts = urlsplit(platform.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        stack.callback(connection.close)
        connection.putrequest("POST", f"/api/workers/{worker.worker_id}/heartbeat")
        for name, value in (
            ("Authorization", f"Bearer {worker.token}"),
            ("Prefer", "wait=25"),
            ("Content-Length", "2"),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        for _ in range(5):
            platform.call("GET", "/healthz")  # by then it has read the head, and waits for the body
        os.kill(platform.pid, signal.SIGTERM)
        eventually(lambda: "platform.stopping" in platform.log_text())
        connection.send(b"{}")
        assert connection.getresponse().status == 200
        assert platform.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["donmai-platform.service", "donmai-platform@.service"])
def test_units_are_good(unit: str, tmp_path: Path) -> None:
    """systemd finds nothing to remark, the interpreter that the unit names apart, and rates the box as documented."""
    copy = tmp_path / unit.replace("@", "@7735")
    copy.write_text((UNITS / unit).read_text("utf-8").replace("/opt/donmai/bin/donmai", "/bin/true"))
    environment = os.environ | {"SYSTEMD_LOG_LEVEL": "info"}
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, env=environment,
        timeout=60, check=False,
    )  # fmt: skip
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=11", str(copy)],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout[-600:]
