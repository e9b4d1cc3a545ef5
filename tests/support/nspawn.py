"""A Debian with a booted systemd of its own, in a container: for what only a real service manager can prove.

Needs root, and takes `debootstrap` and `systemd-container` from Debian where they are missing. The container is not
known to the host's systemd (`--register=no --keep-unit`), has no network but its own loopback, and is ended by the
id of the process that was started here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.waiting import eventually

INCLUDED = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,python3,git,procps,rpm,ca-certificates"
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""The Debian whose own Python is the one that runs the tests: the packages are for that one."""

_ENVIRONMENT = ("env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root")


class Done(NamedTuple):
    """How a command in the container ended."""

    code: int
    out: str
    err: str


def debian(archives: Path) -> Path:
    """The archive of a minimal Debian, made in `archives` by debootstrap where it is not there yet (under a minute)."""
    version = sys.version_info[:2]
    assert version in SUITES, (
        f"no Debian has Python {version[0]}.{version[1]} as its own: use one of {sorted(SUITES)}"
    )
    suite = SUITES[version]
    # Named after what is in it: an older one of a checkout is no good.
    archive = archives / f"debian-{suite}-{hashlib.sha256(INCLUDED.encode()).hexdigest()[:8]}.tar"
    tools = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}
    if missing := [package for tool, package in tools.items() if shutil.which(tool) is None]:
        _succeed("apt-get", "update")
        _succeed("apt-get", "install", "-y", "--no-install-recommends", *missing)
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        making, packed = (archive.with_suffix(f".{os.getpid()}{suffix}") for suffix in ("", ".tar"))
        try:
            # In namespaces of its own: what it mounts and starts is gone with it, however it ends.
            _succeed(
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("debootstrap", "--variant=minbase", f"--include={INCLUDED}", suite, str(making)),
            )
            shutil.rmtree(making / "var/cache/apt/archives", ignore_errors=True)
            _succeed("tar", "-C", str(making), "-cf", str(packed), ".")
            packed.replace(archive)
        finally:
            packed.unlink(missing_ok=True)
            shutil.rmtree(making, ignore_errors=True)
    return archive


def _succeed(*argv: str) -> None:
    """Run a command that must succeed; what it said is in the error. Fifteen minutes are a mirror that hangs."""
    done = subprocess.run(
        argv,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout[-4000:]}"


class Machine:
    """A running container."""

    def __init__(self, root: Path, leader: int) -> None:
        """`leader` is the container's first process, as the host numbers it."""
        self.root = root
        self._leader = leader

    def try_(self, *argv: str, timeout: float = 60) -> Done:
        """Run a command in the container, as root."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._leader), "--all", "--", *_ENVIRONMENT, *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def run(self, *argv: str, timeout: float = 60) -> str:
        """The standard output of a command that must succeed."""
        done = self.try_(*argv, timeout=timeout)
        assert done.code == 0, f"{' '.join(argv)} ended with {done.code}\n{done.out}{done.err}"
        return done.out

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """A command that goes on while others run; the caller waits for it."""
        return subprocess.Popen(
            ["nsenter", "--target", str(self._leader), "--all", "--", *_ENVIRONMENT, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def shown(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def wait(self, what: str, true: Callable[[], bool], seconds: float = 30) -> None:
        """Until `true` says so; a failure tells what the journal has."""
        told = ("journalctl", "--no-pager", "--lines", "60")
        eventually(true, seconds, every=0.2, said=lambda: f"{what}\n{self.try_(*told).out}")


@contextmanager
def booted(archive: Path, root: Path) -> Iterator[Machine]:
    """A machine with the contents of `archive`, up and running; everything of it is gone afterwards."""
    root.mkdir(parents=True)
    subprocess.run(["tar", "-C", str(root), "-xf", str(archive)], check=True)
    (root / "etc/machine-id").write_text("")
    console = (root.parent / f"{root.name}.console").open("wb")
    container = subprocess.Popen(
        [
            *("systemd-nspawn", "--directory", str(root), "--boot", "--register=no", "--keep-unit"),
            *("--private-network", "--console=pipe", "--machine", f"donmai-{os.getpid()}"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=subprocess.STDOUT,
    )
    try:
        machine = Machine(root, _leader(container))
        # It says "degraded" where the host keeps a unit from working that nobody here needs.
        machine.wait("boot", lambda: machine.try_("systemctl", "is-system-running").out.strip() in _UP, 60)
        yield machine
        machine.try_("systemctl", "poweroff", "--force")
        container.wait(60)
    finally:
        if container.poll() is None:
            container.send_signal(signal.SIGKILL)  # its first process, and with it all others, die with it
            container.wait(30)
        console.close()
        shutil.rmtree(root, ignore_errors=True)


_UP = {"running", "degraded"}


def _leader(container: subprocess.Popen[bytes]) -> int:
    """The container's first process: the one below systemd-nspawn that is in another process namespace."""
    own = Path("/proc/self/ns/pid").readlink()

    def first() -> int | None:
        assert container.poll() is None, f"systemd-nspawn ended with {container.returncode}"
        for pid in _descendants(container.pid):
            with suppress(OSError):  # it was between two lives
                elsewhere = Path(f"/proc/{pid}/ns/pid").readlink() != own
                if elsewhere and "systemd" in Path(f"/proc/{pid}/comm").read_text():
                    return pid
        return None

    return eventually(first)


def _descendants(pid: int) -> Sequence[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in _descendants(child))]
