"""The configuration file is edited while the daemon runs: by a person, by the daemon itself."""

from __future__ import annotations

import signal

from tests.daemon.conftest import NewMachine
from tests.support.daemon import Machine
from tests.support.platform import PlatformProcess
from tests.support.relay import relay
from tests.support.waiting import eventually

from donmai_daemon.store.config_file import digest


def test_a_person_edits_the_file(machine: Machine) -> None:
    """An edit takes effect by itself, and the platform hears of it."""
    daemon = machine.daemon
    with daemon.file.open("a") as file:
        file.write('[capacity]\nmax_sessions = 3\n[admission]\nmode = "all-routed"\n')
    eventually(lambda: daemon.status()["maxSessions"] == 3)
    config = daemon.status()["config"]
    assert isinstance(config, dict)
    assert config == {"path": str(daemon.file), "digest": digest(daemon.file.read_bytes()), "valid": True}

    def heard() -> bool:
        host = machine.host()
        return (host["maxSessions"], host["projectAdmissionMode"], host["configDigest"]) == (
            3, "all-routed", config["digest"],
        )  # fmt: skip

    eventually(heard)


def test_our_own_writes_are_no_news(machine: Machine) -> None:
    """Every change is adopted once: that of a mutation when it is made, and not again because the file has changed."""
    daemon = machine.daemon
    for op in ("project.enable", "project.disable", "project.remove"):
        assert machine.mutate(op, {"id": "alpha"}) == ("applied", None)
    with daemon.file.open("a") as file:
        file.write("[capacity]\nmax_sessions = 3\n")
    # A person's edit comes last and by the watcher: what the watcher had to say of ours, it has said before.
    eventually(lambda: daemon.status()["maxSessions"] == 3)
    changes = [line["digest"] for line in daemon.logged("configuration.changed")]
    assert len(changes) == 4
    assert changes[-1] == digest(daemon.file.read_bytes())


def test_a_hangup_reads_the_file(machine: Machine) -> None:
    """SIGHUP reads again, and complains of a broken file in the log without ending."""
    daemon = machine.daemon
    daemon.file.write_text("[")
    daemon.signal(signal.SIGHUP)
    assert "line 1, column 2" in str(daemon.until_logged("daemon.reload_failed")["reason"])
    assert daemon.get("/readyz").status == 200


def test_what_only_a_start_reads(new_machine: NewMachine, platform: PlatformProcess) -> None:
    """Another URL or socket is a condition that names the keys; `host restart` ends with 3, and the next start clears it."""
    with relay(platform.url) as between:
        machine = new_machine()
        daemon = machine.daemon
        daemon.start()
        machine.joined()
        worker = daemon.status()["workerId"]
        text = daemon.file.read_text()
        edited = text.replace(platform.url, between.url)
        daemon.file.write_text(f'{edited}[control]\nsocket = "{daemon.home}/other.sock"\n')
        condition = eventually(lambda: daemon.conditions().get("restart_required"))
        assert condition["severity"] == "warning"
        assert str(condition["message"]).endswith(": platform.url, control.socket")
        eventually(lambda: "restart_required" in machine.conditions())
        assert not between.exchanges
        daemon.file.write_text(edited)
        eventually(lambda: str(daemon.conditions()["restart_required"]["message"]).endswith(": platform.url"))

        assert daemon.host("restart").code == 0
        assert daemon.ended() == 3
        daemon.start()
        machine.joined()
        assert "restart_required" not in daemon.conditions()
        assert between.beats()
        assert daemon.status()["workerId"] != worker, "credentials are bound to the URL they were given for"
        eventually(lambda: "restart_required" not in machine.conditions())


def test_what_was_taken_back_needs_no_restart(machine: Machine) -> None:
    """The condition goes when the file says again what the start has read."""
    daemon = machine.daemon
    before, before_status = daemon.file.read_bytes(), daemon.status()["config"]
    with daemon.file.open("a") as file:
        file.write("[control]\nsocket = '/tmp/never.sock'\n")
    eventually(lambda: "restart_required" in daemon.conditions())
    daemon.file.write_bytes(before)
    eventually(lambda: "restart_required" not in daemon.conditions())
    assert daemon.status()["config"] == before_status
