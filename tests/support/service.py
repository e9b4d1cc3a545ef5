"""The packages of this checkout, and the service they install in a machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.nspawn import Machine

ROOT = Path(__file__).parents[2]
UNIT = "donmai-daemon.service"
CONFIG = "/etc/donmai/daemon.toml"
NEWER = "99.0.0"
"""The version that packages for an upgrade have."""


def build_packages(dist: Path, *what: str, source: Path = ROOT) -> None:
    """`what` of packaging/artifacts.py (nothing: all of it) into `dist`, for the Python that runs the tests."""
    subprocess.run([sys.executable, "packaging/artifacts.py", *what, "--dist", str(dist)], cwd=source, check=True)


def copy_checkout(place: Path) -> None:
    """What packages are made of, without history: in `place`, which is not there yet."""
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(".*", "build", "dist", "__pycache__"))


def build_newer_packages(dist: Path, source: Path) -> None:
    """The .deb and the .rpm of a copy of this checkout, made in `source`, that says it is version `NEWER`."""
    copy_checkout(source)
    init = source / "src/donmai_daemon/__init__.py"
    before = init.read_text()
    init.write_text("\n".join(_newer(line) for line in before.splitlines()) + "\n")
    assert init.read_text() != before
    build_packages(dist, "system", source=source)


def _newer(line: str) -> str:
    return f'__version__ = "{NEWER}"' if line.startswith("__version__ = ") else line


def status(machine: Machine) -> dict[str, object]:
    """What the daemon says of itself, to root, over the socket in /run."""
    answer = json.loads(machine.run("donmai", "host", "status", "--json"))
    assert isinstance(answer, dict)
    return answer


def main_pid(machine: Machine) -> str:
    """The daemon's process, as systemd knows it; "0" while there is none."""
    return machine.shown(UNIT, "MainPID")


def ready(machine: Machine) -> bool:
    """A beat was accepted lately."""
    beat = status(machine)["heartbeat"] if machine.try_("donmai", "host", "status").code == 0 else None
    return isinstance(beat, dict) and beat["lastAcceptedAt"] is not None and beat["consecutiveFailures"] == 0


def assert_installed(machine: Machine) -> None:
    """User, directories and configuration are as a package makes them, and the service is up without further ado."""
    assert machine.run("systemctl", "is-active", UNIT).strip() == "active"
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    modes = {"/etc/donmai": "root:donmai 2770", CONFIG: "donmai:donmai 640", "/var/lib/donmai": "donmai:donmai 700"}
    for path, mode in modes.items():
        assert machine.run("stat", "-c", "%U:%G %a", path).strip() == mode
    assert machine.run("stat", "-c", "%U", f"/proc/{main_pid(machine)}").strip() == "donmai"
    assert status(machine)["status"] == "ready"
