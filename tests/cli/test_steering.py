"""`host stop` waits for the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cli import COMMAND, ScriptedServer, answer, environment


def test_stop_waits_until_the_daemon_is_gone(tmp_path: Path) -> None:
    """`stop` returns when the process has ended, even if its parent has not collected it yet, so that another may start."""
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as daemon,
        ScriptedServer(lambda _: answer(200, {"pid": daemon.pid, "message": "stopping"}), tmp_path / "control.sock"),
        subprocess.Popen(
            [*COMMAND, "host", "stop", "--state-dir", str(tmp_path)],
            env=environment(tmp_path), stdout=subprocess.PIPE, text=True,
        ) as command,
    ):  # fmt: skip
        assert daemon.stdin is not None
        assert command.stdout is not None
        assert command.stdout.readline() == "stopping\n"
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.2)
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        assert command.wait(60) == 0


def test_stop_of_a_daemon_elsewhere_does_not_hang(tmp_path: Path) -> None:
    """Where the process cannot be seen from here (another container, say), `stop` ends with the daemon's word."""
    with (
        ScriptedServer(lambda _: answer(200, {"pid": 2**22 + 1, "message": "stopping"}), tmp_path / "control.sock"),
        subprocess.Popen(
            [*COMMAND, "host", "stop", "--state-dir", str(tmp_path)],
            env=environment(tmp_path), stdout=subprocess.PIPE, text=True,
        ) as command,
    ):  # fmt: skip
        assert command.communicate(timeout=60)[0] == "stopping\n"
    assert command.returncode == 0
