"""A machine that was asleep: the clock has moved on, and nothing is made up for."""

from __future__ import annotations

import signal
import time

import pytest
from tests.daemon.conftest import NewMachine
from tests.support.platform import PlatformProcess
from tests.support.relay import Exchange, relay
from tests.support.waiting import eventually


@pytest.mark.parametrize("holds", [True, False], ids=["held beats", "plain beats"])
def test_one_late_beat(new_machine: NewMachine, platform: PlatformProcess, holds: bool) -> None:
    """Stopped until the platform misses it, the daemon beats once when it goes on, and then as often as before."""
    with relay(platform.url) as between:

        def edit(exchange: Exchange) -> None:
            if "heldBeats" in exchange.answer:
                exchange.answer["heldBeats"] = holds

        between.edit = edit
        machine = new_machine(url=between.url)
        machine.daemon.start()
        machine.joined()
        machine.daemon.signal(signal.SIGSTOP)
        eventually(lambda: machine.host()["status"] == "stale")
        awake = time.monotonic()
        machine.daemon.signal(signal.SIGCONT)
        between.until(lambda: len(between.beats(awake)) >= 3)
        eventually(lambda: machine.host()["status"] == "online")
        first, second, third = between.beats(awake)[:3]
        # Three missed ones would come at once if they were made up for. The interval is one second.
        assert second.at - first.at > 0.4
        assert third.at - second.at > 0.4
        said = [beat.body["seq"] for beat in between.beats()]
        assert len(set(map(str, said))) == len(said)
