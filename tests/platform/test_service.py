"""`donmai platform serve` as a service: what its manager is told, and the units that come with it."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from tests.support.platform import PlatformProcess

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
