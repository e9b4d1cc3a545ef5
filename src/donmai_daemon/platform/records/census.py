"""How much there is of everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over all organisations.

    Of `hosts`, `online` have beaten lately and `stale` not quite so lately; the rest is offline. `pending` and
    `delivered` are mutations that are not settled; `queued` and `claimed` are sessions that are not over.
    """

    hosts: int
    online: int
    stale: int
    pending: int
    delivered: int
    queued: int
    claimed: int

    @property
    def offline(self) -> int:
        """Never negative: a host that was removed counts among those that beat until its last beat is old."""
        return max(self.hosts - self.online - self.stale, 0)
