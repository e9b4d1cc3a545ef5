"""What the machines of one process share."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from donmai_daemon.clock import SystemClock
from donmai_daemon.link.address import Address
from donmai_daemon.simulate.faults import Faults
from donmai_daemon.simulate.tally import Tally


class LoopClock(SystemClock):
    """Sleeps by the event loop: the system's own costs a descriptor for each sleeper, and nobody suspends a simulation."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(seconds, 0))


@dataclass(slots=True)
class Surroundings:
    """`tally` is replaced from time to time. While `cut`, no machine reaches the platform."""

    address: Address
    faults: Faults
    clock: LoopClock = field(default_factory=LoopClock)
    tally: Tally = field(default_factory=Tally)
    cut: bool = False
