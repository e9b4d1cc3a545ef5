"""How soon a change is made: 200 simulated daemons with held beats, and some real ones with their files."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.beats import Bench, percentile
from bench.platform.figures import Figure
from tests.support.daemon import Machine
from tests.support.platform import PlatformProcess
from tests.support.servers import Servers
from tests.support.waiting import eventually

DAEMONS = 200
INTERVAL_SECONDS = 30
REAL_DAEMONS = 5
_CHANGES = 100
_AIM_SECONDS = 1.0


def measure(place: Path, real: Servers) -> dict[str, list[Figure]]:
    """Simulated on both stores, real on the embedded one."""
    simulated: list[Figure] = []
    for name, options in (
        ("SQLite", ["--data-dir", str(place / "latency")]),
        ("PostgreSQL and Redis", real.new_store()),
    ):
        print(f"{DAEMONS} daemons, {name} …", file=sys.stderr, flush=True)
        seconds = _simulate(options)
        for what, most in (("applied", None), ("acked", _AIM_SECONDS)):
            simulated.append(Figure(f"{name}, queued to {what}, p50", seconds[f"{what}P50Seconds"], "s"))
            simulated.append(Figure(f"{name}, queued to {what}, p99", seconds[f"{what}P99Seconds"], "s", most))
    print(f"{REAL_DAEMONS} real daemons …", file=sys.stderr, flush=True)
    return {
        f"{DAEMONS} simulated daemons, held beats, one change each, interval {INTERVAL_SECONDS} s": simulated,
        f"{REAL_DAEMONS} real daemons, held beats, {_CHANGES} changes one at a time": _real(place),
    }


def _simulate(options: Sequence[str]) -> dict[str, float]:
    """The figures of the simulator, which says by itself whether every promise was kept."""
    done = subprocess.run(
        [
            sys.executable, "-m", "donmai_daemon", "platform", "simulate", "--scenario", "mutations", "--held", "--json",
            "--hosts", str(DAEMONS), "--share", "1", "--interval", str(INTERVAL_SECONDS), *options,
        ],
        stdout=subprocess.PIPE,
        check=True,
    )  # fmt: skip
    figures = json.loads(done.stdout)["figures"]
    assert isinstance(figures, dict)
    return figures


def _real(place: Path) -> list[Figure]:
    rng = random.Random(1)  # noqa: S311 - spacing, not secrets
    with PlatformProcess.embedded(place / "real") as platform, ExitStack() as stack:
        bench = Bench(platform, place)
        machines = [stack.enter_context(bench.machine()) for _ in range(REAL_DAEMONS)]
        for machine in machines:
            machine.daemon.start()
            machine.joined()
        for number in range(_CHANGES):
            time.sleep(
                rng.uniform(0.3, 0.5)
            )  # each daemon tells an outcome at once at most once a second, after five
            bench.enqueue(rng.choice(machines), number)
        waits = []
        for machine in machines:
            eventually(partial(_nothing_waits, machine))
            waits.append(bench.waits(machine))
    applied, acked = ([ms / 1e3 for one in waits for ms in one[which]] for which in (0, 1))
    return [
        Figure("queued to in the file, p50", percentile(applied, 50), "s"),
        Figure("queued to in the file, p99", percentile(applied, 99), "s"),
        Figure("queued to acked, p50", percentile(acked, 50), "s"),
        Figure("queued to acked, p99", percentile(acked, 99), "s", _AIM_SECONDS),
    ]


def _nothing_waits(machine: Machine) -> bool:
    return machine.host()["pendingMutations"] == 0
