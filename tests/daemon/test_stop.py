"""How the daemon ends: in order, in time, and with the platform told."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.daemon.conftest import NewMachine
from tests.support.agent import shell
from tests.support.daemon import Machine
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually


def test_a_stop_in_order(machine: Machine) -> None:
    """SIGTERM: exit 0, the addresses are free, nothing is left beside the file, and the platform knows it is draining."""
    daemon = machine.daemon
    assert machine.mutate("project.enable", {"id": "alpha"})[0] == "applied"
    assert machine.host()["dispatchStatus"] == "idle"
    assert daemon.stop() == 0
    assert machine.host()["dispatchStatus"] == "draining"
    with socket.create_server(("127.0.0.1", urlsplit(daemon.url).port or 0)):
        pass
    assert not (daemon.state / "control.sock").exists()
    assert not list(daemon.state.glob("journal.db-*")), "the journal was closed"
    assert daemon.logged("daemon.stopped")[0]["exit_code"] == 0
    assert daemon.host("status").code == 1


@pytest.mark.parametrize("silence", [signal.SIGKILL, signal.SIGSTOP], ids=["gone", "silent"])
def test_a_stop_without_the_platform(
    new_machine: NewMachine, own_platform: PlatformProcess, silence: signal.Signals
) -> None:
    """A platform that has gone, or says nothing any more, holds the end up for a moment at most."""
    machine = new_machine(platform=own_platform)
    machine.daemon.start()
    machine.joined()
    if silence == signal.SIGKILL:
        own_platform.kill()
    else:
        os.kill(own_platform.pid, silence)
    try:
        asked = time.monotonic()
        assert machine.daemon.stop() == 0
        assert time.monotonic() - asked < 5.0, "2.5 s are promised; twice that, on a machine that others use too"
    finally:
        if own_platform.running:
            os.kill(own_platform.pid, signal.SIGCONT)


def test_a_second_signal(new_machine: NewMachine, short: Path) -> None:
    """While a session runs, a stop waits for it and says so; a second signal ends it, and the daemon with it."""
    up = short / "up"
    command = json.dumps(shell(f"touch {up}; sleep 600"))
    machine = new_machine(
        f'[admission]\nmode = "all-routed"\n[agent]\ncommand = {command}\ndrain_timeout_seconds = 600\n'
    )
    daemon = machine.daemon
    daemon.start()
    machine.joined()
    work = machine.platform.call("POST", "/api/sessions", machine.key, {"projectId": f"p-{machine.machine_id}"})
    session = work.text_of("sessionId")
    eventually(up.exists)
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.status()["status"] == "draining")
    eventually(lambda: machine.host()["dispatchStatus"] == "draining")
    assert daemon.get("/api/daemon/sessions").status == 200, "the control API serves to the end"
    assert daemon.status()["activeSessions"] == 1
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert [line["second"] for line in daemon.logged("daemon.signal")] == [False, True]
    path = f"/api/sessions/{session}/status"
    eventually(lambda: machine.platform.call("GET", path, machine.key).body["status"] == "stopped")
