"""The package on a booted systemd: from its installation to its removal, in this order, on one machine."""

from __future__ import annotations

import json
import re

import pytest
from tests.support.nspawn import Machine
from tests.support.service import CONFIG, NEWER, UNIT, assert_installed, main_pid, ready, status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_package_installs_and_the_service_starts(machine: Machine) -> None:
    """The .deb makes user, directories and service, and the service is up when dpkg returns."""
    machine.run("sh", "-c", "dpkg --install /root/*.deb")
    assert_installed(machine)


def test_the_units_are_sound(machine: Machine) -> None:
    """systemd finds nothing to say about the unit, and its exposure is at most 1.5."""
    done = machine.try_("systemd-analyze", "verify", f"/usr/lib/systemd/system/{UNIT}")
    assert (done.code, done.out, done.err) == (0, "", "")
    said = machine.run("systemd-analyze", "security", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= 1.5, said


def test_a_mutation_reaches_the_file(machine: Machine) -> None:
    """Configured with a URL and the token as a credential, the daemon registers and applies what is queued."""
    machine.run("systemd-run", "--unit=platform", "donmai", "platform", "serve", "--data-dir", "/srv/platform")
    url = "http://127.0.0.1:7735"
    key = {
        role: json.loads(
            machine.run(
                *("donmai", "platform", "key", "create", "--org", "acme", "--role", role),
                *("--data-dir", "/srv/platform", "--json"),
            )
        )["key"]
        for role in ("worker", "admin")
    }
    machine.run("sh", "-c", f"umask 077; echo {key['worker']} >/etc/donmai/token")
    machine.run("sh", "-c", f"printf '[platform]\\nurl = \"{url}\"\\n' >>{CONFIG}")
    machine.run("systemctl", "restart", UNIT)
    machine.wait("a beat is accepted", lambda: ready(machine))
    environment = (f"DONMAI_PLATFORM_URL={url}", f"DONMAI_API_KEY={key['admin']}")
    machine.run(
        *("env", *environment, "donmai", "mutation", "enqueue", "project.add"),
        *("--id", "alpha", "--repository", "https://github.com/acme/alpha.git"),
    )
    machine.wait("the project is in the file", lambda: "projects.alpha" in machine.run("cat", CONFIG))
    machine.wait(
        "the platform knows",
        lambda: "applied" in machine.run("env", *environment, "donmai", "mutation", "list"),
    )
    assert machine.run("stat", "-c", "%U:%G %a", CONFIG).strip() == "donmai:donmai 640"


def test_the_manager_is_told_how_it_goes(machine: Machine) -> None:
    """`systemctl status` shows the last beat and what is pending."""
    machine.wait("a status text", lambda: "beat" in machine.shown(UNIT, "StatusText"))
    assert machine.shown(UNIT, "ActiveState") == "active"


def test_reload_reads_the_file_and_says_when_it_cannot(machine: Machine) -> None:
    """`systemctl reload` succeeds with a good file; with a broken one it fails, and the daemon runs on."""
    pid = main_pid(machine)
    machine.run("sh", "-c", f"printf '\\n[capacity]\\nmax_sessions = 3\\n' >>{CONFIG}")
    machine.run("systemctl", "reload", UNIT)
    assert status(machine)["maxSessions"] == 3
    machine.run("sh", "-c", f"cp -p {CONFIG} /root/good.toml; echo 'not toml' >>{CONFIG}")
    assert machine.try_("systemctl", "reload", UNIT).code != 0
    assert status(machine)["maxSessions"] == 3
    machine.run("sh", "-c", f"cat /root/good.toml >{CONFIG}")
    machine.run("systemctl", "reload", UNIT)
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", UNIT)
    machine.wait("reloaded by signal", lambda: machine.shown(UNIT, "SubState") == "running")
    assert main_pid(machine) == pid


def test_a_killed_daemon_comes_back(machine: Machine) -> None:
    """After SIGKILL the manager starts it again, and it is the same worker."""
    before, worker = main_pid(machine), status(machine)["workerId"]
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    machine.wait("another process", lambda: main_pid(machine) not in (before, "0"))
    machine.wait("a beat is accepted", lambda: ready(machine), 60)
    assert status(machine)["workerId"] == worker


def test_a_stalled_daemon_is_replaced(machine: Machine) -> None:
    """A daemon whose event loop stands still is ended by the watchdog and started again."""
    machine.run(
        "sh",
        "-c",
        f"mkdir -p /run/systemd/system/{UNIT}.d; "
        f"printf '[Service]\\nWatchdogSec=2s\\nTimeoutAbortSec=2s\\n' >/run/systemd/system/{UNIT}.d/test.conf; "
        f"systemctl daemon-reload; systemctl restart {UNIT}",
    )
    before = main_pid(machine)
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    machine.wait("another process", lambda: main_pid(machine) not in (before, "0"))
    assert "atchdog" in machine.run("journalctl", "--no-pager", "--unit", UNIT)
    machine.run(
        "sh", "-c", f"rm -r /run/systemd/system/{UNIT}.d; systemctl daemon-reload; systemctl restart {UNIT}"
    )


def test_waits_between_restarts_grow_where_systemd_knows_how(machine: Machine) -> None:
    """From 3 s to 2 minutes in 8 steps since systemd 254; before that always 3 s. No number of failures ends it for good."""
    said = machine.run("systemctl", "--version").split()[1]
    grows = int(said.split(".")[0].split("~")[0]) >= 254
    assert machine.shown(UNIT, "RestartUSec") == "3s"
    assert machine.shown(UNIT, "StartLimitIntervalUSec") == "0"
    if grows:
        assert machine.shown(UNIT, "RestartSteps") == "8"
        assert machine.shown(UNIT, "RestartMaxDelayUSec") == "2min"
    else:
        assert machine.shown(UNIT, "RestartSteps") == ""


def test_exit_code_3_means_again_and_0_means_enough(machine: Machine) -> None:
    """`host restart` brings a new process, `host stop` and `systemctl stop` none."""
    before = main_pid(machine)
    machine.run("donmai", "host", "restart")
    machine.wait("another process", lambda: main_pid(machine) not in (before, "0"))
    machine.wait("up again", lambda: machine.try_("donmai", "host", "status").code == 0)
    machine.run("donmai", "host", "stop")
    machine.wait("stopped", lambda: machine.shown(UNIT, "ActiveState") == "inactive")
    assert machine.shown(UNIT, "Result") == "success"
    machine.run("systemctl", "start", UNIT)


def enqueue_session(machine: Machine) -> str:
    """Work for the machine, begun by it; the session's id."""
    made = machine.run(
        *("donmai", "platform", "work", "enqueue", "--data-dir", "/srv/platform", "--org", "acme", "--json"),
        *("--project", "alpha", "--repository", "https://github.com/acme/alpha.git", "--prompt", "wait"),
    )
    session = json.loads(made)["sessionId"]
    machine.wait("the session runs", lambda: machine.try_("pgrep", "--exact", "sleep").code == 0, 60)
    return str(session)


def session_status(machine: Machine, session: str) -> str:
    """What the platform knows of it."""
    listed = json.loads(
        machine.run("donmai", "platform", "work", "list", "--data-dir", "/srv/platform", "--org", "acme", "--json")
    )
    (status,) = [work["status"] for work in listed["sessions"] if work["sessionId"] == session]
    return str(status)


def test_a_stop_lets_a_session_end(machine: Machine) -> None:
    """While the unit drains the session runs on and completes, and only then is the unit gone."""
    machine.run(
        "sh",
        "-ec",
        "git init --quiet /srv/alpha.git; cd /srv/alpha.git; git config user.email a@b.c; git config user.name a; "
        "git commit --quiet --allow-empty -m first; chown -R donmai: /srv/alpha.git; "
        "git config --system url.file:///srv/.insteadOf https://github.com/acme/; "
        f'printf \'\n[agent]\ncommand = ["sleep", "5"]\n\' >>{CONFIG}; systemctl reload {UNIT}',
    )
    machine.wait("a beat is accepted", lambda: ready(machine), 60)
    session = enqueue_session(machine)
    stopping = machine.start("systemctl", "stop", UNIT)
    machine.wait("draining", lambda: status(machine)["status"] == "draining")
    assert machine.shown(UNIT, "ActiveState") == "deactivating"
    assert stopping.wait(60) == 0
    assert machine.shown(UNIT, "Result") == "success"
    assert session_status(machine, session) == "completed"


def test_what_a_crash_leaves_is_ended_and_reported(machine: Machine) -> None:
    """A killed daemon's session does not run on unseen: it is ended with the unit, and failed after the next start."""
    machine.run("sh", "-ec", f'sed -i \'s/"5"/"600"/\' {CONFIG}; systemctl start {UNIT}')
    machine.wait("a beat is accepted", lambda: ready(machine), 60)
    session = enqueue_session(machine)
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    machine.wait("nothing of it runs", lambda: machine.try_("pgrep", "--exact", "sleep").code != 0)
    machine.wait("reported", lambda: session_status(machine, session) == "failed", 60)
    assert machine.try_("pgrep", "--exact", "sleep").code != 0, "nothing was started a second time"


def test_a_newer_package_keeps_what_is_there(machine: Machine) -> None:
    """An upgrade restarts the service as the new version, with machine, worker, history and file as they were."""
    machine.wait("a beat is accepted", lambda: ready(machine), 60)
    before, config = status(machine), machine.run("cat", CONFIG)
    history = machine.run("donmai", "host", "mutations", "list", "--json")
    machine.run("sh", "-c", "dpkg --install /root/newer/*.deb")
    machine.wait("the new version runs", lambda: ready(machine) and status(machine)["version"] == NEWER, 60)
    after = status(machine)
    assert (after["machineId"], after["workerId"]) == (before["machineId"], before["workerId"])
    assert machine.run("cat", CONFIG) == config
    assert machine.run("donmai", "host", "mutations", "list", "--json") == history


def test_purging_leaves_nothing(machine: Machine) -> None:
    """Removing keeps configuration and state; purging takes them, the user and the service away."""
    machine.run("dpkg", "--remove", "donmai-daemon")
    assert machine.try_("test", "-e", CONFIG).code == 0
    machine.run("dpkg", "--purge", "donmai-daemon")
    left = machine.run(
        "find", "/etc", "/usr", "/var/lib", "/run", "-path", "*donmai*", "-not", "-path", "/run/host/*"
    )
    assert [line for line in left.splitlines() if "/dpkg/" not in line] == []
    assert machine.try_("getent", "passwd", "donmai").code != 0
    assert machine.try_("systemctl", "cat", UNIT).code != 0


def test_the_command_line_installs_the_service_too(machine: Machine) -> None:
    """`host install --system` from a single file: running, twice the same, removed without touching the configuration."""
    machine.run("sh", "-c", "install -m 755 /root/*.pyz /usr/local/bin/donmai")
    machine.run("donmai", "host", "install", "--system")
    machine.wait("it runs", lambda: machine.try_("donmai", "host", "status").code == 0, 60)
    machine.run("sh", "-c", f"echo '# mine' >>{CONFIG}")
    pid = main_pid(machine)
    again = machine.run("donmai", "host", "install", "--system")
    assert "wrote" not in again
    assert main_pid(machine) == pid
    machine.run("donmai", "host", "uninstall", "--system")
    assert machine.try_("systemctl", "cat", UNIT).code != 0
    assert machine.run("tail", "-n", "1", CONFIG) == "# mine\n"
    assert machine.try_("donmai", "host", "uninstall", "--system").code == 0


def test_a_person_has_a_service_of_their_own(machine: Machine) -> None:
    """`host install` without root: their own systemd runs it with their own files, and takes it away again."""
    machine.run("sh", "-c", "useradd --create-home ada && loginctl enable-linger ada")
    machine.wait(
        "a manager of her own", lambda: machine.try_("systemctl", "is-active", "user@1000.service").code == 0
    )
    ada = ("runuser", "--user", "ada", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000", "HOME=/home/ada")
    said = machine.run(*ada, "donmai", "host", "install")
    assert "wrote  /home/ada/.config/systemd/user/donmai-daemon.service" in said
    machine.wait("it runs", lambda: machine.try_(*ada, "donmai", "host", "status").code == 0, 60)
    assert machine.run(*ada, "systemctl", "--user", "is-active", UNIT).strip() == "active"
    pid = machine.run(*ada, "systemctl", "--user", "show", "--value", "--property", "MainPID", UNIT).strip()
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").strip() == "ada"
    machine.run(*ada, "sh", "-c", "mkdir -p ~/.donmai; echo '# hers' >~/.donmai/daemon.toml")
    machine.run(*ada, "systemctl", "--user", "reload", UNIT)
    answer = json.loads(machine.run(*ada, "donmai", "host", "status", "--json"))
    assert answer["config"]["path"] == "/home/ada/.donmai/daemon.toml"
    machine.run(*ada, "donmai", "host", "uninstall")
    assert machine.try_(*ada, "systemctl", "--user", "cat", UNIT).code != 0
    assert machine.run("cat", "/home/ada/.donmai/daemon.toml") == "# hers\n"
