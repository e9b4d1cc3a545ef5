"""Beats with real processes: many mutations in one, one at a time, and how long a start takes. `python -m bench.beats`.

Times are those that platform and journal wrote down, on one clock: nothing that polls is part of them. Beside ours
stands the least that does the job: urllib, tomlkit, one parse and dump for each mutation; no journal, no check.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bench.edits import file_of
from tests.support.daemon import DaemonProcess, Machine, config_for
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually

from donmai_daemon.model.json import JsonObject

BATCHES = (1, 100, 500)
SINGLES = 100
STARTS = 5
_PATIENCE = 300.0  # seconds; the plain way takes a minute for the largest batch

PLAIN = r"""
import json, sys, time, urllib.request
import tomlkit
url, key, machine, path = sys.argv[1:]

def post(route, bearer, body):
    request = urllib.request.Request(url + route, json.dumps(body).encode(), {"Authorization": "Bearer " + bearer, "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

me = post("/api/workers/register", key, {"hostname": "plain", "capacity": 1, "machineId": machine, "version": "0"})
acks = []
while True:
    answer = post(f"/api/workers/{me['workerId']}/heartbeat", me["runtimeToken"], {"status": "idle", "activeCount": 0, "maxSessions": 1, "appliedMutations": acks})
    print("beat", flush=True)
    acks = []
    for mutation in answer["pendingMutations"]:
        with open(path) as file:
            document = tomlkit.load(file)
        table = tomlkit.table()
        table["repositories"] = [mutation["params"]["repository"]]
        document["projects"][mutation["params"]["id"]] = table
        with open(path, "w") as file:
            tomlkit.dump(document, file)
        acks.append(mutation["id"])
    if not acks:
        time.sleep(30)
"""


class Row(NamedTuple):
    """One line of the table; `plain` is None where nothing comparable exists. Milliseconds."""

    name: str
    ours: float
    plain: float | None = None
    target: str = ""


class Bench:
    """A platform, and machines that come and go."""

    def __init__(self, platform: PlatformProcess, place: Path) -> None:
        self._platform = platform
        self._place = place
        self._key = platform.make_key("owner")
        self._worker_key = platform.make_key("worker")

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """One whose daemon has not been started, with ten projects in its file."""
        machine_id = f"b-{uuid.uuid4()}"
        config = config_for(self._platform.url) + "\n" + file_of(10)
        daemon = DaemonProcess(self._place / machine_id[:8], config, self._worker_key, machine_id)
        try:
            yield Machine(daemon, self._platform, self._key, machine_id)
        finally:
            daemon.close()

    @contextmanager
    def plain(self, machine: Machine) -> Iterator[subprocess.Popen[str]]:
        """The least that does the job, for the same machine."""
        daemon = machine.daemon
        argv = [
            sys.executable,
            "-c",
            PLAIN,
            self._platform.url,
            self._worker_key,
            machine.machine_id,
            str(daemon.file),
        ]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def batch(self, count: int, *, plain: bool) -> float:
        """From the delivery of `count` mutations in one answer to the last ack, milliseconds."""
        with self.machine() as machine:
            host = self._platform.register(self._worker_key, machine.machine_id).host_id
            for n in range(count):
                self._platform.enqueue(self._key, host, "project.add", project(n))
            if plain:
                with self.plain(machine):
                    eventually(lambda: machine.host()["pendingMutations"] == 0, _PATIENCE)
            else:
                machine.daemon.start()
                eventually(lambda: machine.host()["pendingMutations"] == 0, _PATIENCE)
            mutations = self._platform.mutations(self._key, host)
        assert [m["status"] for m in mutations] == ["applied"] * count
        delivered = [moment(m, "deliveredAt") for m in mutations]
        return (max(moment(m, "settledAt") for m in mutations) - min(delivered)) * 1e3

    def singles(self, count: int, rng: random.Random) -> tuple[list[float], list[float]]:
        """Milliseconds from the queue to the file, and to the ack at the platform, one mutation a second."""
        with self.machine() as machine:
            machine.daemon.start()
            machine.joined()
            for n in range(count):
                time.sleep(rng.uniform(0.9, 1.1))
                self.enqueue(machine, n)
            eventually(lambda: machine.host()["pendingMutations"] == 0)
            return self.waits(machine)

    def waits(self, machine: Machine) -> tuple[list[float], list[float]]:
        """Milliseconds from the queue to the file, and to the ack at the platform, of all that was queued for `machine`."""
        known = {str(m["id"]): m for m in self._platform.mutations(self._key, machine.host_id)}
        records = machine.daemon.mutations()
        assert {str(r["id"]) for r in records} == set(known)
        created = {name: moment(m, "createdAt") for name, m in known.items()}
        applied = [(moment(r, "settledAt") - created[str(r["id"])]) * 1e3 for r in records]
        acked = [(moment(m, "settledAt") - created[name]) * 1e3 for name, m in known.items()]
        return applied, acked

    def enqueue(self, machine: Machine, number: int) -> None:
        """Queue a project, another for each number."""
        self._platform.enqueue(self._key, machine.host_id, "project.add", project(number))

    def start(self, *, plain: bool) -> float:
        """From the start of the process to the first accepted beat, milliseconds, on a machine that was never seen."""
        with self.machine() as machine:
            begin = time.perf_counter()
            if plain:
                with self.plain(machine) as process:
                    assert process.stdout is not None
                    assert process.stdout.readline() == "beat\n"
                    return (time.perf_counter() - begin) * 1e3
            machine.daemon.spawn()
            machine.daemon.until_logged("beat.accepted")
            return (time.perf_counter() - begin) * 1e3


def project(number: int) -> JsonObject:
    return {"id": f"new{number}", "repository": f"https://git.example.com/n{number}"}


def moment(record: JsonObject, name: str) -> float:
    """A time of the record, in seconds."""
    return datetime.fromisoformat(str(record[name])).timestamp()


def percentile(values: list[float], hundredth: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[hundredth - 1]


def rows() -> Iterator[Row]:
    """Every figure, as soon as it is known."""
    with tempfile.TemporaryDirectory(prefix="bench", dir="/tmp") as directory:
        place = Path(directory)
        with PlatformProcess.embedded(place / "platform", ("--rate-limit", "100000")) as platform:
            bench = Bench(platform, place)
            ours = statistics.median(bench.start(plain=False) for _ in range(STARTS))
            plain = statistics.median(bench.start(plain=True) for _ in range(STARTS))
            yield Row("start to first beat", ours, plain)
            targets = {500: "≤ 8000, aim 2000"}
            for count in BATCHES:
                yield Row(
                    f"{count} in one beat, delivered to acked",
                    bench.batch(count, plain=False),
                    bench.batch(count, plain=True),
                    targets.get(count, ""),
                )
            applied, acked = bench.singles(SINGLES, random.Random(1))  # noqa: S311 - spacing, not secrets
            yield Row("one a second, queued to in the file, p50", percentile(applied, 50))
            yield Row("one a second, queued to in the file, p99", percentile(applied, 99))
            yield Row("one a second, queued to acked, p50", percentile(acked, 50))
            yield Row("one a second, queued to acked, p99", percentile(acked, 99), target="< 1000")


def main() -> None:
    print(f"{'beats':50} {'ours ms':>10} {'plain ms':>10}  target")
    for row in rows():
        plain = f"{row.plain:10.1f}" if row.plain is not None else f"{'-':>10}"
        print(f"{row.name:50} {row.ours:10.1f} {plain}  {row.target}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
