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
from tests.support.waiting import eventually

from donmai_daemon.model.json import Json, JsonObject

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DONMAI = (sys.executable, "-P", "-m", "donmai_daemon")
PLATFORM = "198.51.100.1"

PORTAL = """
import http.server, sys

class Portal(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        page = b"<!doctype html><title>Free Wi-Fi</title><form>I agree</form>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_GET = do_POST

server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Portal)
print("ready", flush=True)
server.serve_forever()
"""
"""Answers everything with a page, as the first router of a café does; standard error tells what was asked."""


class Space:
    """A network namespace, held by a process that sleeps in it."""

    def __init__(self, stack: ExitStack) -> None:
        assert os.geteuid() == 0, "network namespaces take root"
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "120"])
        stack.callback(self._holder.wait)
        stack.callback(self._holder.kill)
        own = Path("/proc/self/ns/net").readlink()
        self.pid = self._holder.pid
        eventually(lambda: Path(f"/proc/{self.pid}/ns/net").readlink() != own)
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
    eventually(lambda: events(log, name) >= count, seconds, said=log.read_text)


class Laptop:
    """A daemon that can be on two networks: one with the platform in it, and a café's, which wants a click first."""

    def __init__(self, stack: ExitStack, place: Path) -> None:
        self._home = {"HOME": str(place), "PATH": os.environ["PATH"]}
        self._store = ("--data-dir", str(place / "platform"))
        self._space, office, cafe = (Space(stack) for _ in range(3))
        for here, there in (("wifi0", office), ("wifi1", cafe)):
            peer = ("peer", "name", "ap0", "netns", str(there.pid))
            self._space.run("ip", "link", "add", here, "type", "veth", *peer)
            there.run("ip", "address", "add", f"{PLATFORM}/24", "dev", "ap0")
            there.run("ip", "link", "set", "ap0", "up")
        create = ("platform", "key", "create", "--org", "o", "--role", "worker")
        served, self.portal = place / "served", place / "portal"
        listening = ("--host", PLATFORM, "--port", "7735", "--json")
        serve = office.inside(*DONMAI, "platform", "serve", *listening, *self._store)
        stack.enter_context(running(serve, self._home, served))
        click = cafe.inside(sys.executable, "-c", PORTAL, PLATFORM, "7735")
        stack.enter_context(running(click, self._home, self.portal))
        eventually(lambda: "ready" in served.read_text(), said=served.read_text)
        eventually(lambda: "ready" in self.portal.read_text(), said=self.portal.read_text)
        config, self.log = place / "daemon.toml", place / "log"
        config.write_text(f'[platform]\nurl = "http://{PLATFORM}:7735"\nallow_insecure = true\n')
        own = self._home | {"DONMAI_DAEMON_TOKEN": str(self._answer(*create)["key"])}
        run = self._space.inside(*DONMAI, "host", "run", "--config", str(config))
        stack.enter_context(running(run, own, self.log))

    def status(self) -> JsonObject:
        """What the daemon says of itself."""
        return object_of(self._space.run("env", f"HOME={self._home['HOME']}", *DONMAI, "host", "status", "--json"))

    def offline(self) -> None:
        for device in ("wifi0", "wifi1"):
            self._space.run("ip", "address", "flush", "dev", device)
            self._space.run("ip", "link", "set", device, "down")

    def online(self, device: str, address: str) -> datetime:
        """On that network, and since when."""
        self._space.run("ip", "address", "add", f"{address}/24", "dev", device)
        self._space.run("ip", "link", "set", device, "up")
        self._space.run("ip", "route", "replace", "default", "via", PLATFORM)
        return datetime.now(UTC)

    def hosts(self) -> list[Json]:
        """What the platform knows of machines."""
        hosts = self._answer("platform", "host", "list")["hosts"]
        assert isinstance(hosts, list)
        return hosts

    def seen_after(self, moment: datetime) -> float:
        """Seconds until the platform heard of the machine again, by its own record."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for host in self.hosts():
                assert isinstance(host, dict)
                seen = datetime.fromisoformat(str(host["lastSeenAt"]))
                if seen > moment:
                    return (seen - moment).total_seconds()
        raise AssertionError(self.log.read_text())

    def _answer(self, *verb: str) -> JsonObject:
        command = [*DONMAI, *verb, *self._store, "--json"]
        done = subprocess.run(command, env=self._home, check=True, stdout=subprocess.PIPE, text=True)
        return object_of(done.stdout)


def object_of(text: str) -> JsonObject:
    answer = json.loads(text)
    assert isinstance(answer, dict)
    return answer


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """Started offline."""
    with ExitStack() as stack:
        yield Laptop(stack, tmp_path)


def test_beats_come_back_with_the_network(laptop: Laptop) -> None:
    """Started offline the daemon is ready; a beat arrives within 2 s of the network, and of another network."""
    within(20, laptop.log, "daemon.started", 1)
    within(20, laptop.log, "beat.failed", 4)
    assert laptop.status()["status"] == "ready"
    assert laptop.seen_after(laptop.online("wifi0", "198.51.100.7")) < 2
    # The next beat is held by the platform, and its answer has no way back from now on.
    within(5, laptop.log, "beat.accepted", 1)
    laptop.offline()
    within(5, laptop.log, "network.gone", 1)
    assert laptop.seen_after(laptop.online("wifi0", "198.51.100.8")) < 2


def test_a_captive_portal_is_no_platform(laptop: Laptop) -> None:
    """A page with 200 to every request changes nothing but that beats fail; within 2 s of the next network all is well."""
    laptop.online("wifi0", "198.51.100.7")
    within(20, laptop.log, "beat.accepted", 1)
    worker = laptop.status()["workerId"]
    laptop.offline()
    laptop.online("wifi1", "198.51.100.9")
    within(20, laptop.log, "beat.failed", 2)
    eventually(lambda: "/heartbeat" in laptop.portal.read_text())
    there = laptop.status()
    conditions = there["conditions"]
    assert isinstance(conditions, list)
    assert [condition["code"] for condition in conditions if isinstance(condition, dict)] == [
        "platform_unreachable"
    ]
    assert (there["status"], there["workerId"]) == ("ready", worker)
    assert "/register" not in laptop.portal.read_text()
    laptop.offline()
    assert laptop.seen_after(laptop.online("wifi0", "198.51.100.10")) < 2
    within(5, laptop.log, "beat.accepted", 2)
    assert (laptop.status()["workerId"], len(laptop.hosts())) == (worker, 1)
