"""When the first beat of a start goes out."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from tests.support.clock import FakeClock

from donmai_daemon.clock import rfc3339
from donmai_daemon.runtime.startup import first_delay


def delays(silent: float | None, *, acks_wait: bool = False) -> list[float]:
    """First delays of a hundred machines that were silent for so many seconds; None: they never beat."""
    clock = FakeClock()
    last = None if silent is None else rfc3339(clock.now() - timedelta(seconds=silent))
    return [first_delay(clock, random.Random(seed), 30.0, last, acks_wait=acks_wait) for seed in range(100)]


@pytest.mark.parametrize("silent", [0.0, 5.0, 90.0])
def test_a_fleet_that_restarts_spreads_over_an_interval(silent: float) -> None:
    """After a success within three intervals the first beat comes at a random point of the next one."""
    found = delays(silent)
    assert len(set(found)) == 100
    assert 0 <= min(found) < 3
    assert 27 < max(found) <= 30


@pytest.mark.parametrize("silent", [None, 90.1, -1.0], ids=["first start", "long silence", "clock set back"])
def test_whoever_has_long_been_silent_beats_at_once(silent: float | None) -> None:
    """First start, more than three intervals, or a last beat in the future, which tells nothing."""
    assert set(delays(silent)) == {0.0}


def test_unsent_acks_do_not_wait() -> None:
    """Who has something to tell tells it at once, however fresh the last beat is."""
    assert set(delays(5.0, acks_wait=True)) == {0.0}
