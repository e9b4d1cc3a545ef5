"""What goes wrong on purpose."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

Fate: TypeAlias = Literal["good", "hung up", "lost", "repeated"]
"""Of one request. `hung up`: we close once it is sent; `lost`: we close once it is answered; `repeated`: it arrives twice."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares from 0 to 1. `restarts` is of accepted beats: the daemon that had it accepted starts again."""

    lost: float = 0.0
    repeated: float = 0.0
    restarts: float = 0.0

    def fate(self, rng: random.Random) -> Fate:
        """Of the next request."""
        drawn = rng.random()
        if drawn < self.lost:
            return "lost" if drawn < self.lost / 2 else "hung up"
        return "repeated" if drawn < self.lost + self.repeated else "good"

    def restart(self, rng: random.Random) -> bool:
        """Whether the daemon starts again now."""
        return rng.random() < self.restarts
