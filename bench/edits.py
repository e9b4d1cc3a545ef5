"""One operation on files of growing size, and batches of many, beside the plain tomlkit way.

Ours: from a delivered mutation to a settled one, with every fsync. tomlkit: parse, append the table, dump, replace
the file with fsync; no journal, no comparison, no check of the result.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import tomlkit

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

    def deliver(self, count: int) -> None:
        requests = [
            MutationRequest(
                f"m{n}", "project.add", {"id": f"new{n}", "repository": f"https://git.example.com/n{n}"}, None, None
            )
            for n in itertools.islice(self._ids, count)
        ]
        beat = AcceptedBeat("wkr", "d", 1, None, None, (), [(request, "config") for request in requests])
        self.journal.accept(beat, NOW)


def ours(projects: int, batch: int) -> float:
    """Median seconds of one run of the applier over `batch` delivered mutations."""
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory), projects)
        times = []
        for _ in range(ROUNDS):
            host.deliver(batch)
            begin = time.perf_counter()
            applied = host.applier.run()
            times.append(time.perf_counter() - begin)
            assert applied.settled == batch
        host.journal.close()
        return statistics.median(times)


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


def rows() -> Iterator[tuple[str, float, float | None]]:
    """What was done, milliseconds of ours, milliseconds of plain tomlkit (None: it would take minutes)."""
    for size in SIZES:
        yield f"one op, {size:,} projects", ours(size, 1) * 1e3, plain_tomlkit(size, 1) * 1e3
    for batch in BATCHES:
        theirs = plain_tomlkit(10, batch) * 1e3 if batch <= 100 else None
        yield f"{batch} ops in one beat, 10 projects", ours(10, batch) * 1e3, theirs


def main() -> None:
    print(f"{'':34} {'ours ms':>10} {'tomlkit ms':>11} {'ratio':>7}")
    for name, mine, theirs in rows():
        beside = "" if theirs is None else f"{theirs:11.1f} {theirs / mine:6.1f}x"
        print(f"{name:34} {mine:10.1f} {beside}", flush=True)


if __name__ == "__main__":
    main()
