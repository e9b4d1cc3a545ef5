"""Daemon, runner, agent and platform killed at random while sessions run: none is lost, none runs twice, nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.agent import shell
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually
from tests.support.workplace import ENDED, Machine, Workplace

from donmai_daemon.sessions.processes import identify

PACE = (
    "--heartbeat-interval",
    "1",
    "--poll-interval",
    "1",
    "--claim-timeout",
    "4",
    "--lease",
    "30",
    "--rate-limit",
    "10000",
)


class Havoc:
    """What kills, and where."""

    def __init__(self, directory: Path, rng: random.Random) -> None:
        self.directory = directory
        self.rng = rng
        self.pids = directory / "pids"
        self.pids.mkdir()
        self.kills: Counter[str] = Counter()

    def agents(self) -> list[int]:
        """Agents that have started, and children of theirs in sessions of their own."""
        return [int(path.name) for path in self.pids.iterdir()]

    def kill_one_of(self, what: str, pids: list[int]) -> None:
        running = [pid for pid in pids if identify(pid) is not None]
        if running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(running), signal.SIGKILL)
                self.kills[what] += 1


def trial(directory: Path, seed: int, sessions: int, kills: int) -> Counter[str]:
    rng = random.Random(seed)
    havoc = Havoc(directory, rng)
    script = f"""
        : > {havoc.pids}/$$; echo $DONMAI_SESSION_ID >> {directory}/runs
        setsid /bin/sh -c ': > {havoc.pids}/$$; exec sleep 300' &
        sleep 0.$(( $$ % 7 + 2 ))
    """
    config = (
        '[admission]\nmode = "all-routed"\n[capacity]\nmax_sessions = 4\n'
        f"[agent]\ncommand = {json.dumps(shell(script))}\n"
    )
    with PlatformProcess.embedded(directory / "platform", PACE) as platform:
        place = Workplace(platform)
        machine = Machine(directory / "machine", platform, place.worker_key, config)
        machine.start()

        def daemon() -> None:
            machine.kill()
            havoc.kills["daemon"] += 1
            time.sleep(rng.random() / 2)  # no event: how long it is away is left to chance
            machine.start()

        def platform_() -> None:
            platform.kill()
            havoc.kills["platform"] += 1
            time.sleep(rng.random() / 2)  # no event: how long it is away is left to chance
            platform.start()

        def runner() -> None:
            havoc.kill_one_of("runner", [process.pid for process in machine.runners().values()])

        def agent() -> None:
            havoc.kill_one_of("agent", havoc.agents())

        choices: list[Callable[[], None]] = [daemon, platform_, runner, runner, agent, agent]
        try:
            queued = [place.queue() for _ in range(sessions)]
            for _ in range(kills):
                time.sleep(rng.random() * 0.6)  # no event: when it strikes is what the trial leaves to chance
                rng.choice(choices)()
            left = set(queued)

            def all_ended() -> bool:
                left.difference_update([session for session in left if place.status(session) in ENDED])
                return not left

            eventually(all_ended, 90)
            eventually(lambda: not machine.runners(), 30)
            runs = Counter((directory / "runs").read_text().split())
            assert max(runs.values()) == 1, "a session ran twice"
            assert set(runs) <= set(queued)
            completed = {session for session in queued if place.status(session) == "completed"}
            assert completed <= set(runs)
            eventually(lambda: not [pid for pid in havoc.agents() if identify(pid) is not None], 10)
        finally:
            machine.close()
    havoc.kills["completed"] = len(completed)
    return havoc.kills


@pytest.mark.parametrize("seed", [1, 2])
def test_sessions_survive_kills(tmp_path: Path, seed: int) -> None:
    """Ten sessions under a dozen kills: each ends, none runs twice, no process is left, and some are completed."""
    kills = trial(tmp_path, seed, sessions=10, kills=12)
    assert kills["completed"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3, 7))
def test_many_sessions_survive_many_kills(tmp_path: Path, seed: int) -> None:
    """Fifty sessions under eighty kills of every kind."""
    kills = trial(tmp_path, seed, sessions=50, kills=80)
    assert min(kills[what] for what in ("daemon", "platform", "runner", "agent")) > 0
