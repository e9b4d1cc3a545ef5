"""What a scenario plays on."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from donmai_daemon.errors import DonmaiError
from donmai_daemon.simulate.report import Figure, Promise, Report
from donmai_daemon.simulate.tally import percentile
from donmai_daemon.simulate.timeline import Timeline

if TYPE_CHECKING:
    from donmai_daemon.cli.simulate_platform import Target
    from donmai_daemon.cli.simulate_processes import Fleet
    from donmai_daemon.clock import Clock
    from donmai_daemon.simulate.ledger import Ledger
    from donmai_daemon.simulate.messages import Plan
    from donmai_daemon.simulate.orders import Orders
    from donmai_daemon.simulate.tally import Tally

_REGISTRATIONS_PER_SECOND = 10  # slower than this is not slow, but stuck
_PATIENCE = 60.0
_REFUSED = {"status 401", "status 403"}  # of a key that is not good: nobody will do better


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long and how much, in seconds and numbers. `share` is of the machines."""

    interval: float
    measure: float
    outage: float
    share: float
    queued: int


@dataclass(slots=True)
class Stage:
    """The platform, the machines before it, and the report that is written on the way."""

    target: Target
    fleet: Fleet
    orders: Orders | None
    """None where no key allows any; then a scenario that gives orders is not played."""
    ledger: Ledger
    report: Report
    sizes: Sizes
    plan: Plan
    clock: Clock
    began: float = 0.0
    agreed: bool | None = None
    """Whether the platform, too, says that every order was applied; None before it was asked."""

    async def assemble(self) -> None:
        """Every machine registered, and one interval later, when each has had its first beat."""
        fleet, wanted = self.fleet, self.fleet.machines

        def over() -> bool:
            return len(fleet.hosts) == wanted or not _REFUSED.isdisjoint(fleet.tally.failures)

        await fleet.until(over, _PATIENCE + wanted / _REGISTRATIONS_PER_SECOND)
        if len(fleet.hosts) < wanted:
            missed = sum(fleet.tally.missed.values())
            raise DonmaiError(
                f"of {wanted} machines {len(fleet.hosts)} could register; failed: "
                f"{self.reasons(fleet.tally)}; not connected: {missed} times"
            )
        self.sizes = replace(self.sizes, interval=self.fleet.interval)
        self.report.interval = self.fleet.interval
        await anyio.sleep(self.sizes.interval * 1.1)

    def now(self) -> float:
        return self.clock.monotonic()

    def mark(self, what: str) -> float:
        """Something begins now; when that is."""
        now = self.now()
        self.report.marks.append((now - self.began, what))
        return now

    def draw(self) -> None:
        """Put the requests into the report: from the first mark on, as registering would dwarf the rest."""
        marks = self.report.marks
        skipped = marks[0][0] if marks else 0.0
        self.report.marks = [(second - skipped, what) for second, what in marks]
        self.report.requests = self.requests.by_second(self.began + skipped, self.now())

    def some_machines(self) -> list[int]:
        """`share` of them, at least one; the same ones for the same seed."""
        count = max(1, round(self.fleet.machines * self.sizes.share))
        return sorted(random.Random(self.plan.seed).sample(sorted(self.fleet.hosts), count))  # noqa: S311 - repeatable

    async def agree(self, machines: list[int]) -> None:
        """Ask the platform what became of the orders for these machines."""
        assert self.orders is not None
        statuses = [await self.orders.statuses(self.fleet.hosts[machine]) for machine in machines]
        self.agreed = all(status.keys() == {"applied"} for status in statuses)

    @property
    def requests(self) -> Timeline:
        return Timeline(self.fleet.tally.sent)

    def figure(self, name: str, label: str, value: float | int | None, unit: str = "") -> None:
        self.report.figures.append(Figure(name, label, value, unit))

    def promise(self, name: str, text: str, held: bool, seen: str) -> None:
        self.report.promises.append(Promise(name, text, held, seen))

    def latency(self, name: str, label: str, stretch: Tally) -> None:
        """Figures of plain beats."""
        for share in (50, 99):
            seconds = percentile(stretch.latency, share / 100)
            self.figure(f"{name}P{share}Seconds", f"{label}, p{share}", seconds, "s")

    @staticmethod
    def reasons(stretch: Tally) -> str:
        """`3 × status 503, 1 × connection lost`."""
        counted = sorted(stretch.failures.items(), key=lambda item: -item[1])
        return ", ".join(f"{count} × {reason}" for reason, count in counted) or "none"
