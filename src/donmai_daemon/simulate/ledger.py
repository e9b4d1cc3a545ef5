"""What was ordered, against what the machines did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from donmai_daemon.simulate.tally import Tally


@dataclass(frozen=True, slots=True)
class Account:
    """The result. `waited` are seconds from order to application, and from order to accepted ack, in order of size."""

    ordered: int
    applied: int
    acked: int
    lost: int
    """Ordered, and by the end not applied where they should have been, or with no ack that was accepted."""
    doubled: int
    """Applications beyond the first, and those on a machine that they were not meant for."""
    disordered: int
    """Applied on their machine after something that was ordered later."""
    waited_applied: tuple[float, ...]
    waited_acked: tuple[float, ...]


class Ledger:
    """Orders by their effect, in the order of their creation."""

    def __init__(self) -> None:
        self._machines: dict[str, int] = {}
        self._moments: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._machines)

    def order(self, effect: str, machine: int, moment: float) -> None:
        """Note that `machine` was ordered to do something that no other order means."""
        self._machines[effect] = machine
        self._moments[effect] = moment

    def settled(self, tally: Tally) -> bool:
        """Whether everything was acked."""
        return self._machines.keys() <= {effect for effect, _ in tally.acked}

    def account(self, tally: Tally) -> Account:
        """Balance it. What the machines did without an order of ours is left out."""
        applied = [done for done in tally.applied if done[0] in self._machines]
        acked = {effect: moment for effect, moment in tally.acked if effect in self._machines}
        rightly = [done for done in applied if self._machines[done[0]] == done[1]]
        firsts: dict[str, float] = {}
        for effect, _, moment in sorted(rightly, key=lambda done: done[2]):
            firsts.setdefault(effect, moment)
        return Account(
            ordered=len(self._machines),
            applied=len(firsts),
            acked=len(acked),
            lost=sum(effect not in firsts or effect not in acked for effect in self._machines),
            doubled=sum(Counter(effect for effect, _, _ in applied).values()) - len(firsts),
            disordered=self._disordered(effect for effect, _, _ in rightly),
            waited_applied=self._waited(firsts.items()),
            waited_acked=self._waited(acked.items()),
        )

    def _waited(self, moments: Iterable[tuple[str, float]]) -> tuple[float, ...]:
        return tuple(sorted(moment - self._moments[effect] for effect, moment in moments))

    def _disordered(self, effects: Iterable[str]) -> int:
        places = {effect: place for place, effect in enumerate(self._machines)}
        latest: dict[int, int] = {}
        wrong = 0
        for effect in effects:
            machine, place = self._machines[effect], places[effect]
            wrong += place < latest.get(machine, -1)
            latest[machine] = max(place, latest.get(machine, -1))
        return wrong


def quantile(ordered: tuple[float, ...], share: float) -> float | None:
    """The value that `share` of `ordered`, which goes up, does not exceed; None of nothing."""
    return ordered[max(math.ceil(len(ordered) * share) - 1, 0)] if ordered else None
