"""What the daemon costs while it does nothing, and how quickly it comes and goes. `python -m bench.footprint --help`.

Everything is measured on an installed wheel in an environment of its own, with real processes and a real platform on
loopback. CPU is the process's own CPU clock, wake-ups are voluntary context switches of all its threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.environments import environment, wheel

_ROUNDS = 15


class Idle(NamedTuple):
    """A process at rest."""

    rss_mib: float
    threads: int
    cpu_ms_a_minute: float
    wakeups_a_second: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long to watch each process idle (default: 60)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args()
    rows = dict(measure(arguments.seconds))
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)
    return 0


def show(measured: Mapping[str, Mapping[str, float] | str]) -> None:
    """A table: one line a figure, one column a program. Below it, which programs have none, and why."""
    rows = {name: row for name, row in measured.items() if not isinstance(row, str)}
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    width = max(map(len, figures)) + 2
    print(f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs\n")
    print("".ljust(width) + "".join(name.rjust(max(len(name), 8) + 2) for name in rows))
    for figure in figures:
        cells = (
            (f"{row[figure]:.1f}" if figure in row else "-").rjust(max(len(name), 8) + 2)
            for name, row in rows.items()
        )
        print(figure.ljust(width) + "".join(cells))
    for name, row in measured.items():
        if isinstance(row, str):
            print(f"\nNOT MEASURED: {name}: {row}")


def measure(seconds: float) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Bare Python first, then the daemon."""
    python = environment("donmai", [str(wheel())])
    with running([str(python), "-c", "import time; time.sleep(1e6)"]) as bare:
        time.sleep(1)
        yield (
            "bare Python",
            as_row(idle(bare.pid, 5)) | {"--version, ms": wall(lambda: call([str(python), "-c", ""]))},
        )
    with running([str(python), "-c", "import asyncio; asyncio.run(asyncio.Event().wait())"]) as bare:
        time.sleep(1)
        yield "asyncio", as_row(idle(bare.pid, 5))
    yield "donmai", daemon(python, seconds)


def daemon(python: Path, seconds: float) -> Mapping[str, float]:
    """Start to first beat, idle, the command line, the end."""
    donmai = [str(python), "-I", "-m", "donmai_daemon"]
    with tempfile.TemporaryDirectory(prefix="donmai-bench-") as name:
        place = Path(name)
        store = ["--data-dir", str(place / "platform")]
        key = json.loads(
            output([*donmai, "platform", "key", "create", "--org", "o", "--role", "worker", *store, "--json"])
        )
        with running(
            [*donmai, "platform", "serve", "--port", "0", "--json", *store], stdout=subprocess.PIPE
        ) as served:
            assert served.stdout is not None
            url = json.loads(served.stdout.readline())["url"]
            environ = {
                "PATH": os.environ["PATH"],
                "HOME": name,
                "DONMAI_DAEMON_TOKEN": key["key"],
                "DONMAI_PLATFORM__URL": url,
                "DONMAI_LOG__FORMAT": "json",
                "DONMAI_CONTROL__PORT": "0",
            }
            firsts, busy = [], []
            for _ in range(5):
                started = time.monotonic()
                with running([*donmai, "host", "run"], environ, stderr=subprocess.PIPE) as subject:
                    until(subject, "beat.accepted")
                    firsts.append((time.monotonic() - started) * 1000)
                    busy.append(cpu_ns(subject.pid) / 1e6)
                for left in (place / ".donmai").glob("journal.db*"):
                    left.unlink()  # as on a first start: a known machine lets a random part of an interval pass
            with running([*donmai, "host", "run"], environ, stderr=subprocess.PIPE) as subject:
                until(subject, "beat.accepted")
                time.sleep(3)
                rest = idle(subject.pid, seconds)
                version = wall(lambda: call([*donmai, "--version"]))
                status = wall(lambda: call([*donmai, "host", "status"], environ))
                served.kill()
                served.wait()
                until(subject, "beat.failed")
                told = time.monotonic()
                subject.send_signal(signal.SIGTERM)
                subject.wait(30)
                gone = (time.monotonic() - told) * 1000
    return as_row(rest) | {
        "start to first beat, ms": statistics.median(firsts),
        "CPU to first beat, ms": statistics.median(busy),
        "--version, ms": version,
        "host status, ms": status,
        "SIGTERM to exit, platform gone, ms": gone,
    }


def idle(pid: int, seconds: float) -> Idle:
    """Watch a process for a while."""
    before, switches = cpu_ns(pid), context_switches(pid)
    time.sleep(seconds)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Idle(
        int(status["VmRSS"].split()[0]) / 1024,
        int(status["Threads"]),
        (cpu_ns(pid) - before) / 1e6 * 60 / seconds,
        sum(count - switches.get(thread, 0) for thread, count in context_switches(pid).items()) / seconds,
    )


def cpu_ns(pid: int) -> int:
    """What the process has used, all threads, by its own CPU clock (the clock id is Linux's: include/linux/posix-timers.h)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def context_switches(pid: int) -> dict[str, int]:
    """Voluntary ones, by thread: each is a thread that had slept and was woken."""
    switches = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary"):
                switches[task.name] = int(line.split()[1])
    return switches


def as_row(rest: Idle) -> dict[str, float]:
    return {
        "idle RSS, MiB": rest.rss_mib,
        "threads": rest.threads,
        "idle CPU, ms a minute": rest.cpu_ms_a_minute,
        "wake-ups a second": rest.wakeups_a_second,
    }


def wall(action: Callable[[], object]) -> float:
    """Median of several runs, in milliseconds."""
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        action()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def until(process: subprocess.Popen[str], event: str) -> None:
    """Read the log until `event`."""
    assert process.stderr is not None
    for line in process.stderr:
        if f'"event":"{event}"' in line:
            return
    raise SystemExit(f"the daemon ended without {event}")


def call(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    """Run it in silence. What it said is in the error where it fails."""
    subprocess.run(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)


def output(argv: Sequence[str]) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def running(
    argv: Sequence[str],
    environ: Mapping[str, str] | None = None,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone afterwards."""
    process = subprocess.Popen(argv, env=environ, stdout=stdout, stderr=stderr, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


if __name__ == "__main__":
    sys.exit(main())
