"""What a start needs, what it can do without, and what it refuses."""

from __future__ import annotations

import os

from tests.daemon.conftest import NewMachine
from tests.support.daemon import Machine
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually

from donmai_daemon.model.json import JsonObject


def test_the_platform_is_down(new_machine: NewMachine, own_platform: PlatformProcess) -> None:
    """Without a platform the control API is up, local changes are made, and status says what is missing; it joins later."""
    machine = new_machine(platform=own_platform)
    daemon = machine.daemon
    own_platform.stop()
    daemon.start()
    eventually(lambda: "platform_unreachable" in daemon.conditions())

    assert daemon.get("/healthz").text == "ok"
    ready = daemon.get("/readyz")
    assert (ready.status, ready.body["code"]) == (503, "not_ready")
    status = daemon.status()
    assert (status["status"], status["workerId"], status["hostStatus"]) == ("ready", None, None)
    heartbeat = status["heartbeat"]
    assert isinstance(heartbeat, dict)
    assert heartbeat["lastAcceptedAt"] is None
    assert "onnect" in str(heartbeat["lastError"])
    failures = heartbeat["consecutiveFailures"]
    assert isinstance(failures, int)
    assert failures >= 1
    registration = daemon.get("/api/daemon/stats").object_of("registration")
    assert (registration["status"], registration["lastHeartbeatAt"]) == ("unregistered", None)
    assert "not registered" in daemon.host("status").out
    change: JsonObject = {"op": "project.enable", "params": {"id": "alpha"}}
    assert daemon.post("/api/daemon/mutations", change).status == 202
    eventually(lambda: daemon.status()["enabledProjectIds"] == ["alpha"])

    own_platform.start()
    machine.joined()
    assert "platform_unreachable" not in daemon.conditions()
    status = daemon.status()
    assert status["workerId"] == machine.host()["workerId"]
    assert machine.host()["enabledProjectIds"] == ["alpha"]


def test_a_token_that_others_can_read(new_machine: NewMachine) -> None:
    """A control token with a wider mode is refused with one line and what to do, exit 1."""
    daemon = new_machine().daemon
    daemon.start()
    assert daemon.stop() == 0
    (daemon.state / "control-token").chmod(0o640)
    before = len(daemon.log)
    daemon.spawn()
    assert daemon.ended() == 1
    error, hint = [str(line["text"]) for line in daemon.log[before:] if "text" in line]
    assert error.startswith("error: ")
    assert "control-token" in error
    assert "0640" in error
    assert hint.startswith("hint: chmod 600 ")


def test_a_damaged_journal(machine: Machine) -> None:
    """A journal that is no database is set aside whole and said so, here and at the platform, until somebody looked at it."""
    daemon = machine.daemon
    assert machine.mutate("project.enable", {"id": "alpha"})[0] == "applied"
    assert daemon.stop() == 0
    damaged = os.urandom(8192)
    (daemon.state / "journal.db").write_bytes(damaged)
    daemon.start()
    condition = daemon.conditions()["journal_replaced"]
    (aside,) = daemon.state.glob("journal.db.damaged-*")
    assert aside.read_bytes() == damaged
    assert condition["severity"] == "error"
    assert aside.name in str(condition["message"])
    eventually(lambda: "journal_replaced" in machine.conditions())
    assert machine.mutate("project.disable", {"id": "alpha"}) == ("applied", None)
    assert daemon.file.read_text().endswith("\n[projects.alpha]\nenabled = false\n")

    assert daemon.stop() == 0
    aside.unlink()
    daemon.start()
    assert "journal_replaced" not in daemon.conditions()
    eventually(lambda: "journal_replaced" not in machine.conditions())


def test_the_same_worker_after_a_restart(machine: Machine) -> None:
    """A restart keeps the worker, and what was delivered and settled before stays settled."""
    mutation = machine.enqueue("project.enable", {"id": "alpha"})
    assert machine.settled(mutation)["status"] == "applied"
    before = machine.daemon.status()
    assert machine.daemon.stop() == 0
    machine.daemon.start()
    machine.joined()
    after = machine.daemon.status()
    assert (after["workerId"], after["machineId"]) == (before["workerId"], machine.machine_id)
    assert after["pid"] != before["pid"]
    (record,) = machine.daemon.mutations()
    assert (record["id"], record["outcome"]) == (mutation, "applied")
