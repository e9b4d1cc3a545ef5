"""The .rpm: what it says of itself, and its scripts on a booted systemd.

The machine is a Debian with RPM on it, so nothing here proves what the names of the dependencies are on a Fedora.
"""

from __future__ import annotations

import pytest
from tests.support.nspawn import Machine
from tests.support.service import CONFIG, NEWER, UNIT, assert_installed, main_pid, status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Debian's rpm asks twice before it touches the system: no package of the machine itself came from it.
RPM = ("rpm", "--nodeps", "--force-debian")


def install(machine: Machine, files: str) -> None:
    """`rpm -U` of what the pattern finds."""
    machine.run("sh", "-c", f"{' '.join(RPM)} --upgrade {files}", timeout=120)


def test_it_tells_where_it_is_from_but_not_where_it_was_built(machine: Machine) -> None:
    """The header names vendor, licence and what is needed to run; the machine of whoever built it has no place in it."""
    (file,) = machine.run("sh", "-c", "echo /root/*.rpm").split()
    said = machine.run("rpm", "-qp", "--qf", "%{NAME}|%{LICENSE}|%{BUILDHOST}|%{SUMMARY}\\n", file)
    assert said == "donmai-daemon|Apache-2.0|donmai.dev|Heartbeat agent for one machine\n"
    needs = machine.run("rpm", "-qp", "--requires", file).splitlines()
    assert "shadow-utils" in needs
    assert [need for need in needs if need.startswith("/usr/bin/python3.")]
    assert machine.run("rpm", "--checksig", "--nosignature", file).strip().endswith("digests OK")


def test_it_installs_and_the_service_starts(machine: Machine) -> None:
    """The scripts make user, directories and service, as those of the .deb do, and every file is as the package has it."""
    install(machine, "/root/*.rpm")
    assert_installed(machine)
    assert machine.run(*RPM, "--verify", "donmai-daemon") == ""


def test_a_newer_one_restarts_the_service_and_keeps_the_file(machine: Machine) -> None:
    """An upgrade runs the scripts of both versions, in RPM's order; the service is then the new one, and stays enabled."""
    machine.run("sh", "-c", f"echo '# mine' >>{CONFIG}")
    before = main_pid(machine)
    machine_id = status(machine)["machineId"]
    install(machine, "/root/newer/*.rpm")
    machine.wait("another process", lambda: main_pid(machine) not in (before, "0"))
    machine.wait("it answers", lambda: machine.try_("donmai", "host", "status").code == 0)
    assert (status(machine)["version"], status(machine)["machineId"]) == (NEWER, machine_id)
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert machine.run("rpm", "-q", "--qf", "%{VERSION}\\n", "donmai-daemon").split() == [NEWER]
    assert machine.run("tail", "-n", "1", CONFIG) == "# mine\n"


def test_removing_it_keeps_what_is_the_owners(machine: Machine) -> None:
    """The service ends and the program goes; configuration, state and user stay."""
    machine.run(*RPM, "--erase", "donmai-daemon", timeout=120)
    assert machine.try_("systemctl", "cat", UNIT).code != 0
    assert machine.try_("pgrep", "--euid", "donmai").code == 1
    assert machine.try_("test", "-e", "/usr/lib/donmai").code != 0
    assert machine.run("find", "/etc/systemd", "-name", "*donmai*") == ""
    assert machine.run("tail", "-n", "1", CONFIG) == "# mine\n"
    assert machine.run("stat", "-c", "%U:%G %a", "/var/lib/donmai").strip() == "donmai:donmai 700"
