"""What a crowd of machines did, in numbers that add up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

BINS_PER_SECOND = 10

_STEP = math.log(1.02)
_UNIT = 1e-6


@dataclass(slots=True)
class Tally:
    """Counts of one stretch of time; those of several processes or stretches may be added to one another.

    `sent` and `missed` are by tenths of a second of the system's monotonic clock, which all processes share. Nothing in
    here was caused by a fault of the simulation, except for `lost`, `repeated` and `restarts`, which count those.
    """

    sent: dict[int, int] = field(default_factory=dict)
    """Requests."""
    missed: dict[int, int] = field(default_factory=dict)
    """Attempts to connect that nobody took."""
    failures: dict[str, int] = field(default_factory=dict)
    """Requests without the answer they should have had, by reason."""
    latency: dict[int, int] = field(default_factory=dict)
    """Beats that were not held and carried no mutations or acks, by `bucket`."""
    beats: int = 0
    """Accepted."""
    ack_beats: int = 0
    """Accepted, and with acks."""
    lost: int = 0
    repeated: int = 0
    restarts: int = 0
    after_ack: int = 0
    """Mutations that were delivered although their ack had been accepted."""
    most_mutations: int = 0
    """In one answer."""
    largest_mutations: int = 0
    """Bytes of the mutations of one answer."""
    applied: list[tuple[str, int, float]] = field(default_factory=list)
    """Effect, machine, when."""
    acked: list[tuple[str, float]] = field(default_factory=list)
    """Effect, when the beat with its ack was accepted."""

    def add(self, other: Tally) -> None:
        """Take in what `other` counted."""
        for mine, theirs in ((self.sent, other.sent), (self.missed, other.missed), (self.latency, other.latency)):
            for bin_, count in theirs.items():
                mine[bin_] = mine.get(bin_, 0) + count
        for reason, count in other.failures.items():
            self.failures[reason] = self.failures.get(reason, 0) + count
        self.beats += other.beats
        self.ack_beats += other.ack_beats
        self.lost += other.lost
        self.repeated += other.repeated
        self.restarts += other.restarts
        self.after_ack += other.after_ack
        self.most_mutations = max(self.most_mutations, other.most_mutations)
        self.largest_mutations = max(self.largest_mutations, other.largest_mutations)
        self.applied += other.applied
        self.acked += other.acked

    def failed(self, reason: str) -> None:
        """Count a failure."""
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def took(self, seconds: float) -> None:
        """Count a beat that was answered after so long."""
        slot = bucket(seconds)
        self.latency[slot] = self.latency.get(slot, 0) + 1


def count(bins: dict[int, int], moment: float) -> None:
    """Count something that happened at `moment`."""
    slot = int(moment * BINS_PER_SECOND)
    bins[slot] = bins.get(slot, 0) + 1


def bucket(seconds: float) -> int:
    """The class of a duration; each is 2 % wide."""
    return round(math.log(max(seconds, _UNIT) / _UNIT) / _STEP)


def percentile(buckets: dict[int, int], share: float) -> float | None:
    """The duration in seconds that `share` of those counted do not exceed, to 1 %; None where there are none."""
    remaining = math.ceil(sum(buckets.values()) * share)
    for slot in sorted(buckets):
        remaining -= buckets[slot]
        if remaining <= 0:
            return _UNIT * math.exp(slot * _STEP)
    return None
