"""Every scenario in small, by a real simulator against a real platform, each in processes of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.platform import PlatformProcess
from tests.support.servers import servers
from tests.support.simulate import environment, simulated


def test_steady(tmp_path: Path) -> None:
    """Machines that nothing happens to send one request an interval, and every one is answered."""
    run = simulated(environment(tmp_path), "--hosts", "60", "--interval", "1", "--for", "2", "--processes", "2")
    assert (run.code, run.broken) == (0, []), run.errors
    assert 45 < run.figure("requestsPerSecond") < 66
    assert run.figure("beatP99Seconds") > 0
    assert list(tmp_path.glob("donmai-simulate-*")) == []


def test_steady_under_faults(tmp_path: Path) -> None:
    """What goes wrong on purpose is not held against the platform: whom it has just befallen is not away."""
    run = simulated(
        environment(tmp_path), *("--hosts", "200", "--interval", "1", "--for", "3", "--lost", "0.2", "--seed", "1")
    )
    assert (run.code, run.broken) == (0, []), run.errors
    assert run.figure("lost") > 100


def test_outage(tmp_path: Path) -> None:
    """After an outage of ten intervals the fleet returns at no more than twice its steady rate, and nothing is lost."""
    run = simulated(
        environment(tmp_path),
        *("--hosts", "60", "--interval", "1", "--for", "2", "--scenario", "outage", "--outage", "10"),
    )
    assert (run.code, run.broken) == (0, []), run.errors
    assert run.figure("attemptsPerSecond") > 5
    assert run.figure("peakRatio") <= 2


def test_mutations_under_faults(tmp_path: Path) -> None:
    """Lost answers, repeated requests and restarts neither lose a change nor make one twice."""
    run = simulated(
        environment(tmp_path),
        *("--hosts", "100", "--interval", "1", "--for", "1", "--scenario", "mutations", "--share", "0.5"),
        *("--lost", "0.1", "--repeat", "0.1", "--restart", "0.1"),
    )
    assert (run.code, run.broken) == (0, []), run.errors
    assert min(run.figure(name) for name in ("lost", "repeated", "restarts")) > 5


def test_backlog(tmp_path: Path) -> None:
    """A machine that comes back to hundreds of changes gets them in order, in pages, without a beat of its interval each."""
    run = simulated(
        environment(tmp_path),
        *("--hosts", "20", "--interval", "1", "--for", "1", "--scenario", "backlog", "--queued", "600"),
    )
    assert (run.code, run.broken) == (0, []), run.errors
    assert run.figure("drainBeats") == 3
    assert 500 * 1024 < run.figure("largestBytes") <= 512 * 1024


def test_mutations_held_on_servers(tmp_path: Path) -> None:
    """Held beats bring a change long before their interval is over, for one request more, on PostgreSQL and Redis too.

    Their addresses come from an option or from the environment, and the keys made for the simulation are revoked after it.
    """
    with servers(os.environ) as running:
        _, database, _, redis = store = running.new_store()
        run = simulated(
            environment(tmp_path, DONMAI_REDIS_URL=redis),
            *("--database-url", database, "--hosts", "20", "--interval", "3", "--for", "1"),
            *("--scenario", "mutations", "--share", "0.5", "--held"),
        )
        keys = PlatformProcess(store, tmp_path / "log").operated("key", "list")["keys"]
    assert set(run.broken) <= {"prompt"}, run.errors  # a second is for a machine that has nothing else to do
    assert run.figure("ackedP50Seconds") < 1.4
    assert run.figure("extraRequests") == 10
    assert isinstance(keys, list)
    assert [key["revokedAt"] is not None for key in keys if isinstance(key, dict)] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("held", [[], ["--held"]], ids=["plain", "held"])
def test_outage_of_a_thousand(tmp_path: Path, held: list[str]) -> None:
    """A thousand machines come back from ten intervals without their platform at no more than twice the steady rate."""
    run = simulated(
        environment(tmp_path),
        *("--hosts", "1000", "--interval", "3", "--for", "6", "--scenario", "outage", "--outage", "30", *held),
    )
    assert (run.code, run.broken) == (0, []), run.errors
