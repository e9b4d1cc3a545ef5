"""What a refusal closes, and for how long."""

from __future__ import annotations

import random

import pytest
from tests.support.clock import FakeClock

from donmai_daemon.errors import PlatformRefused
from donmai_daemon.link.gate import Gate


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_by_itself_is_left_to_whoever_asks(status: int) -> None:
    """Without a Retry-After nothing is closed: the caller has a backoff of its own."""
    gate = Gate(FakeClock(), random.Random(1))
    assert gate.refused(PlatformRefused(status, "later"), cap=120.0).retry_after is None
    gate.check()


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
def test_a_refusal_that_stands_is_not_asked_for_again(status: int) -> None:
    """Until its time the refusal is raised again at once, with the seconds that remain."""
    clock = FakeClock()
    gate = Gate(clock, random.Random(1))
    wait = gate.refused(PlatformRefused(status, "no"), cap=120.0).retry_after
    assert wait is not None
    clock.step(wait / 2)
    with pytest.raises(PlatformRefused, match="no") as again:
        gate.check()
    assert again.value.status == status
    assert again.value.retry_after == pytest.approx(wait / 2)
    clock.step(wait / 2)
    gate.check()


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_wait_that_was_asked_for_is_kept(status: int) -> None:
    """Retry-After closes whatever the status is, and everything being different opens."""
    gate = Gate(FakeClock(), random.Random(1))
    assert (gate.refused(PlatformRefused(status, "no", 60.0), cap=120.0).retry_after or 0.0) >= 60.0
    with pytest.raises(PlatformRefused):
        gate.check()
    gate.open()
    gate.check()
