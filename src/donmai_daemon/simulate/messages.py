"""What passes between the simulator and its processes: JSON, one a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter

from donmai_daemon.simulate.faults import Faults
from donmai_daemon.simulate.tally import Tally


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process is to be: machines `first` to `first + machines - 1` of the platform at `url`.

    `interval` is in seconds; the platform's wins, as with any daemon. `registering` is how many may register at once.
    With `held`, beats are held by a platform that offers to.
    """

    url: str
    first: int
    machines: int
    seed: int
    interval: float
    held: bool
    faults: Faults
    registering: int = 16


@dataclass(frozen=True, slots=True)
class Order:
    """`cut` and `mend` are about the network of every machine; `pause` and `resume` switch the one with this number."""

    act: Literal["cut", "mend", "pause", "resume"]
    machine: int = -1


@dataclass(frozen=True, slots=True)
class Tick:
    """News of one process. `tally` is since the last tick; `down` machines have had no answer to their last request.

    `hosts` are those that became workers since the last tick: number and the platform's id of the host.
    """

    tally: Tally
    down: int
    interval: float
    """Seconds, as the platform has set it."""
    hosts: dict[int, str] = field(default_factory=dict)


PLAN = TypeAdapter(Plan)
ORDER = TypeAdapter(Order)
TICK = TypeAdapter(Tick)
