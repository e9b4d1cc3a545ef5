"""One operation on files of growing size, and batches of many, beside the plain tomlkit way.

Ours: from a delivered mutation to a settled one, with every fsync; beside the time, what of it this process was
computing. tomlkit: parse, append the table, dump, replace the file with fsync; no journal, no comparison, no check of
the result.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import tomlkit

from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.mutation import MutationRequest
from donmai_daemon.runtime.applier import Applier
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.settings import load
from donmai_daemon.store.atomic import write_private
from donmai_daemon.store.config_file import ConfigFile
from donmai_daemon.store.journal import AcceptedBeat, Journal

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SIZES = (10, 100, 1_000, 3_000)
BATCHES = (1, 100, 500)
ROUNDS = 5
ADD = "project.add"
OPERATIONS: Mapping[str, Callable[[int], JsonObject]] = {
    ADD: lambda n: {"id": f"new{n}", "repository": f"https://git.example.com/n{n}"},
    "project.remove": lambda n: {"id": f"p{n}"},
    "project.disable": lambda n: {"id": f"p{n}"},
    "modelAccess.set": lambda n: {"workload": "qa", "policy": {"matrix": {f"c{n}": {"byok": {"allowed": False}}}}},
}
"""Each with the parameters of the n-th mutation, which does something at each n below the number of projects."""


class Taken(NamedTuple):
    """Median seconds: of the clock on the wall, and of this process's own."""

    wall: float
    cpu: float


def file_of(projects: int) -> str:
    """A configuration with so many projects, one table each."""
    tables = (
        f'[projects.p{n}]\nrepositories = ["https://git.example.com/acme/p{n}.git"]\n' for n in range(projects)
    )
    return "[machine]\nname = 'bench'\n\n" + "\n".join(tables)


class Host:
    """A journal and a file in a directory of their own."""

    def __init__(self, directory: Path, projects: int) -> None:
        path = directory / "daemon.toml"
        path.write_text(file_of(projects))
        os.utime(path, (1e9, 1e9))
        self.journal = Journal.open(directory / "journal.db", NOW)
        configuration = Configuration(
            ConfigFile(path), directory / "last-good.toml", lambda document, before: load(document, {}, before)
        )
        numbers = itertools.count()
        self.applier = Applier(self.journal, configuration, lambda: NOW, lambda: f"{next(numbers):08}")
        self.applier.run()
        self._ids = itertools.count()

    def deliver(self, op: str, count: int) -> None:
        requests = [
            MutationRequest(f"m{n}", op, OPERATIONS[op](n), None, None) for n in itertools.islice(self._ids, count)
        ]
        beat = AcceptedBeat("wkr", "d", 1, None, None, (), [(request, "config") for request in requests])
        self.journal.accept(beat, NOW)


def ours(projects: int, batch: int, op: str = ADD) -> Taken:
    """One run of the applier over `batch` delivered mutations, each of which changes the file."""
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory), projects)
        times, computing = [], []
        for _ in range(ROUNDS):
            host.deliver(op, batch)
            began, busy = time.perf_counter(), time.process_time()
            applied = host.applier.run()
            computing.append(time.process_time() - busy)
            times.append(time.perf_counter() - began)
            assert applied.verdict_counts == {"applied": batch}
            assert applied.kept
        host.journal.close()
        return Taken(statistics.median(times), statistics.median(computing))


def plain_tomlkit(projects: int, batch: int) -> float:
    """Median seconds of the same changes, one whole parse and dump each."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "daemon.toml"
        path.write_text(file_of(projects))
        times = []
        for round_number in range(ROUNDS if batch == 1 else 1):
            begin = time.perf_counter()
            for n in range(batch):
                document = tomlkit.parse(path.read_text())
                table = tomlkit.table()
                table["repositories"] = [f"https://git.example.com/n{n}"]
                projects_table = document["projects"]
                assert isinstance(projects_table, dict)
                projects_table[f"new{round_number}-{n}"] = table
                write_private(path, tomlkit.dumps(document).encode())
            times.append(time.perf_counter() - begin)
        return statistics.median(times)


def rows() -> Iterator[tuple[str, Taken, float | None]]:
    """What was done, what ours took, seconds of plain tomlkit (None: it would take minutes, or is not its case)."""
    for size in SIZES:
        yield f"{ADD}, {size:,} projects", ours(size, 1), plain_tomlkit(size, 1)
    for op in sorted(OPERATIONS.keys() - {ADD}):
        yield f"{op}, {SIZES[-1]:,} projects", ours(SIZES[-1], 1, op), None
    for batch in BATCHES:
        yield (
            f"{batch} ops in one beat, 10 projects",
            ours(10, batch),
            plain_tomlkit(10, batch) if batch <= 100 else None,
        )
    yield f"{BATCHES[-1]} ops in one beat, {SIZES[-1]:,} projects", ours(SIZES[-1], BATCHES[-1]), None


def main() -> None:
    print(f"{'':36} {'ours ms':>9} {'of it CPU':>9} {'tomlkit ms':>11} {'ratio':>7}")
    for name, mine, theirs in rows():
        beside = "" if theirs is None else f"{theirs * 1e3:11.1f} {theirs / mine.wall:6.1f}x"
        print(f"{name:36} {mine.wall * 1e3:9.1f} {mine.cpu * 1e3:9.1f} {beside}", flush=True)


if __name__ == "__main__":
    main()
