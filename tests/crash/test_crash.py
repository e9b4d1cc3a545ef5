"""A daemon that is killed at every step between the wire and the ack, and what its next start makes of it."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.matrix import AFTER, BOTH, FILE, HOST, LATER, START, STORIES, Story, cases, everyday_cases
from tests.crash.wire import DELIVERIES, Delivery, Wire
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually

from donmai_daemon.model.json import JsonObject

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0


class Nursery:
    """The process that forks daemons (see `daemon.py`)."""

    def __init__(self) -> None:
        self._daemon: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.daemon"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def start(self, **command: object) -> int:
        """Fork a daemon; its process id. One at a time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._daemon = int(self._read()["pid"])
        return self._daemon

    def ended(self) -> int:
        """Wait for the daemon to end; its exit code, or minus the signal."""
        status = int(self._read()["status"])
        self._daemon = None
        return status

    def clear(self) -> None:
        """After a test that failed: end its daemon, so that the next one finds an empty nursery."""
        if self._daemon is not None:
            os.kill(self._daemon, signal.SIGKILL)
            self.ended()

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        assert ready, "the daemon neither reached the step nor ended"
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def one_nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def nursery(one_nursery: Nursery) -> Iterator[Nursery]:
    yield one_nursery
    one_nursery.clear()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    options = ["--heartbeat-interval", "1", "--rate-limit", "10000", "--log-level", "error"]
    with PlatformProcess.embedded(tmp_path_factory.mktemp("platform"), options) as platform:
        yield platform


@pytest.fixture(scope="module")
def keys(platform: PlatformProcess) -> tuple[str, str]:
    """An admin's key and a machine's."""
    return platform.make_key("admin"), platform.make_key("worker")


class Host:
    """One machine of the platform, its mutations queued before its daemon ever starts."""

    def __init__(self, directory: Path, platform: PlatformProcess, keys: tuple[str, str], story: Story) -> None:
        self.directory = directory
        self.platform = platform
        self.admin, self.worker = keys
        self.story = story
        self.machine = f"mch_{os.getpid()}_{directory.name}"
        self.host_id = platform.register(self.worker, self.machine).host_id
        self.ids = [
            str(platform.enqueue(self.admin, self.host_id, op, params)["id"])
            for op, params, _error in story.mutations
        ]
        self.config = directory / "daemon.toml"
        self.config.write_text(START)
        os.utime(self.config, (1e9, 1e9))

    def command(self, url: str, **more: object) -> dict[str, object]:
        environ = {
            "HOME": str(self.directory),
            "DONMAI_PLATFORM__URL": url,
            "DONMAI_MACHINE__ID": self.machine,
            "DONMAI_DAEMON_TOKEN": self.worker,
        }
        return {
            "config": str(self.config),
            "state": str(self.directory / "state"),
            "log": str(self.directory / "log"),
            "environ": environ,
            "point": None,
            **more,
        }

    def settled(self) -> list[JsonObject]:
        """Wait until the platform has an outcome of every mutation; oldest first."""
        listed: list[JsonObject] = []

        def all_settled() -> bool:
            listed[:] = self.platform.mutations(self.admin, self.host_id)[::-1]
            return all(mutation["status"] in {"applied", "failed"} for mutation in listed)

        eventually(all_settled)
        return listed

    def journal(self, query: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.directory / "state" / "journal.db") as connection:
            rows: list[tuple[object, ...]] = connection.execute(query).fetchall()
        connection.close()
        return rows

    def check(self) -> None:
        """The file, the platform's view and the journal all say the same, once."""
        outcomes = [(m["status"], m.get("error")) for m in self.settled()]
        expected = [error for _, _, error in self.story.mutations]
        assert outcomes == [("applied" if error is None else "failed", error) for error in expected]
        assert self.config.read_text() == self.story.after
        beside = {path.name for path in self.directory.iterdir()} - {"daemon.toml", "state", "log", "log-again"}
        assert not {name for name in beside if not name.startswith(".daemon.toml.donmai-")}
        rows = self.journal("SELECT id, state, outcome FROM inbox ORDER BY seq")
        assert [row[0] for row in rows] == self.ids
        assert {row[1] for row in rows} == {"settled"}


EVERY_CASE = [
    pytest.param(*case, marks=() if case in everyday_cases() else pytest.mark.slow) for case in sorted(cases())
]


@pytest.mark.parametrize(("story", "point", "count", "delivery"), EVERY_CASE)
def test_killed_daemon_ends_where_an_unharmed_one_does(
    tmp_path: Path,
    nursery: Nursery,
    platform: PlatformProcess,
    keys: tuple[str, str],
    story: str,
    point: str,
    count: int,
    delivery: Delivery,
) -> None:
    """Killed at this step, with the answer delivered this way: same file, one outcome for each mutation, none lost."""
    host = Host(tmp_path, platform, keys, STORIES[story])
    with Wire(platform.url, delivery) as wire:
        nursery.start(**host.command(wire.url, point=point, count=count))
        assert nursery.ended() == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
        (tmp_path / "log-again").touch()
        again = nursery.start(**host.command(wire.url, log=str(tmp_path / "log-again")))
        host.settled()
        eventually(lambda: "daemon.started" in (tmp_path / "log-again").read_text())
        os.kill(again, signal.SIGTERM)
        assert nursery.ended() == 0, (tmp_path / "log-again").read_text()[-3000:]
    host.check()


@pytest.mark.parametrize("story", ["add, remove, add", "pool.deleted"])
def test_matrix_names_every_step_there_is(
    tmp_path: Path, nursery: Nursery, platform: PlatformProcess, keys: tuple[str, str], story: str
) -> None:
    """No step is passed on the way from the wire to the ack that the matrix does not kill at."""
    host = Host(tmp_path, platform, keys, STORIES[story])
    record = tmp_path / "steps"
    record.touch()
    daemon = nursery.start(**host.command(platform.url, record=str(record)))
    host.settled()
    known = {point for point, _ in (*BOTH, *AFTER, *(FILE + LATER if STORIES[story].edits else HOST))}
    eventually(lambda: known <= set(record.read_text().split()))
    os.kill(daemon, signal.SIGTERM)
    assert nursery.ended() == 0
    passed = set(record.read_text().split())
    assert known <= passed
    assert passed - known <= {"journal.drop_plan.commit"}, "a step that no case kills at"


def test_everyday_cases_meet_everything() -> None:
    """What `make test` runs has at least 300 cases, and every story, step and delivery in them."""
    chosen = everyday_cases()
    assert len(chosen) >= 300
    for column in range(4):
        assert {case[column] for case in chosen} == {case[column] for case in cases()}
    assert {case[3] for case in chosen} == set(DELIVERIES)
