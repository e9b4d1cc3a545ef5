"""A laptop: two network namespaces with a cable between them, the daemon in one, the platform in the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DONMAI = (sys.executable, "-P", "-m", "donmai_daemon")
PLATFORM = "198.51.100.1"


class Space:
    """A network namespace, held by a process that sleeps in it."""

    def __init__(self, stack: ExitStack) -> None:
        assert os.geteuid() == 0, "network namespaces take root"
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "120"])
        stack.callback(self._holder.wait)
        stack.callback(self._holder.kill)
        own = Path("/proc/self/ns/net").readlink()
        self.pid = self._holder.pid
        while Path(f"/proc/{self.pid}/ns/net").readlink() == own:
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")

    def inside(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", "--", *argv]

    def run(self, *argv: str) -> str:
        return subprocess.run(self.inside(*argv), check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout


@contextmanager
def running(argv: list[str], environ: dict[str, str], out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes to a file, ended afterwards."""
    with out.open("wb") as file:
        process = subprocess.Popen(argv, env=environ, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def events(log: Path, name: str) -> int:
    return log.read_text().count(f'"event":"{name}"')


def within(seconds: float, log: Path, name: str, count: int) -> None:
    """The event was logged `count` times, and not later than after `seconds`."""
    end = time.monotonic() + seconds
    while events(log, name) < count:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


def test_beats_come_back_with_the_network(tmp_path: Path) -> None:
    """Started offline the daemon is ready; a beat arrives within 2 s of the network, and of another network."""
    with ExitStack() as stack:
        here, there = Space(stack), Space(stack)
        here.run("ip", "link", "add", "wifi0", "type", "veth", "peer", "name", "ap0", "netns", str(there.pid))
        there.run("ip", "address", "add", f"{PLATFORM}/24", "dev", "ap0")
        there.run("ip", "link", "set", "ap0", "up")
        home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        store = ("--data-dir", str(tmp_path / "platform"))
        create = ("platform", "key", "create", "--org", "o", "--role", "worker", *store, "--json")
        key = json.loads(subprocess.run([*DONMAI, *create], env=home, check=True, stdout=subprocess.PIPE).stdout)[
            "key"
        ]
        served, log = tmp_path / "served", tmp_path / "log"
        serve = there.inside(*DONMAI, "platform", "serve", "--host", PLATFORM, "--port", "7735", "--json", *store)
        stack.enter_context(running(serve, home, served))
        while '"ready"' not in served.read_text():
            time.sleep(0.02)
        config = tmp_path / "daemon.toml"
        config.write_text(f'[platform]\nurl = "http://{PLATFORM}:7735"\nallow_insecure = true\n')
        own = home | {"DONMAI_DAEMON_TOKEN": key}
        stack.enter_context(running(here.inside(*DONMAI, "host", "run", "--config", str(config)), own, log))

        within(20, log, "daemon.started", 1)
        within(20, log, "beat.failed", 4)
        status = json.loads(here.run("env", f"HOME={tmp_path}", *DONMAI, "host", "status", "--json"))
        assert status["status"] == "ready"

        def online(address: str) -> datetime:
            here.run("ip", "address", "add", f"{address}/24", "dev", "wifi0")
            here.run("ip", "link", "set", "wifi0", "up")
            here.run("ip", "route", "replace", "default", "via", PLATFORM)
            return datetime.now(UTC)

        def seen_after(moment: datetime) -> float:
            """Seconds until the platform heard of the machine again, by its own record."""
            end = time.monotonic() + 20
            while time.monotonic() < end:
                hosts = subprocess.run(
                    [*DONMAI, "platform", "host", "list", *store, "--json"],
                    env=home,
                    check=True,
                    stdout=subprocess.PIPE,
                )
                for host in json.loads(hosts.stdout)["hosts"]:
                    seen = datetime.fromisoformat(host["lastSeenAt"])
                    if seen > moment:
                        return (seen - moment).total_seconds()
            raise AssertionError(log.read_text())

        assert seen_after(online("198.51.100.7")) < 2
        # The next beat is held by the platform, and its answer has no way back from now on.
        within(5, log, "beat.accepted", 1)
        here.run("ip", "address", "flush", "dev", "wifi0")
        time.sleep(1)
        assert seen_after(online("198.51.100.8")) < 2
