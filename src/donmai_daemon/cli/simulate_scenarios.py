"""What is played: each scenario does something to a platform and says afterwards what must have held."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from donmai_daemon.simulate.ledger import quantile
from donmai_daemon.simulate.messages import Order
from donmai_daemon.simulate.tally import Tally
from donmai_daemon.simulate.timeline import Timeline, window_for

if TYPE_CHECKING:
    from donmai_daemon.cli.simulate_stage import Stage
    from donmai_daemon.simulate.orders import Orders

_MOST_MUTATIONS, _MOST_BYTES = 500, 512 * 1024
"""In one answer (specification of the wire, limits)."""
_CAP_INTERVALS = 4  # of the daemon's backoff
_SLOWEST_DRAIN = 20.0  # changes a second: slower is stuck
_PATIENCE = 10.0
_POLICY_EVERY, _POLICY_ROWS = 16, 290  # 15 KB: with the small ones between them 500 orders exceed 512 KiB


class Scenario(Protocol):
    """`judge` is called when the machines have ended, and only after `play` has come to its end."""

    gives_orders: bool

    async def play(self, stage: Stage) -> None: ...

    def judge(self, stage: Stage) -> None: ...


class Steady:
    """Nothing happens, for a while."""

    gives_orders = False

    async def play(self, stage: Stage) -> None:
        self._start = stage.mark("steady")
        stage.fleet.begin_stretch()
        await anyio.sleep(stage.sizes.measure)
        self._end = stage.now()
        self._up = await stage.fleet.until(lambda: stage.fleet.down == 0, _CAP_INTERVALS * stage.sizes.interval)
        self._stretch = stage.fleet.begin_stretch()

    def judge(self, stage: Stage) -> None:
        rate = stage.requests.rate(self._start, self._end)
        stage.figure("requestsPerSecond", "requests a second", round(rate, 1))
        _peak(stage, self._start, self._end, rate)
        stage.latency("beat", "a beat", self._stretch)
        _answered(stage, self._stretch)
        stage.promise("up", "every machine is connected at the end", self._up, f"{stage.fleet.down} are not")


@dataclass(frozen=True, slots=True)
class Moments:
    """Of an outage: the steady state before it, and the time that was watched after it. `whole`: every machine was back."""

    start: float
    end: float
    gone: float
    back: float
    watched: float
    whole: float | None


class Outage:
    """The platform goes away and comes back. What was ordered just before must not suffer."""

    gives_orders = False

    async def play(self, stage: Stage) -> None:
        sizes, fleet = stage.sizes, stage.fleet
        start = stage.mark("steady")
        await anyio.sleep(sizes.measure)
        end = stage.now()
        machines = stage.some_machines() if stage.orders is not None else []
        for machine in machines:
            await _of(stage).add_project(machine, fleet.hosts[machine])
        stage.mark("away")
        await stage.target.go_away(fleet)
        gone = stage.now()
        await anyio.sleep(sizes.outage)
        back = stage.mark("back")
        await stage.target.come_back(fleet)
        fleet.begin_stretch()
        whole = None
        with anyio.move_on_after((_CAP_INTERVALS + 1) * sizes.interval):
            whole = await _all_up(stage, math.inf)
            await anyio.sleep_forever()
        watched = stage.now()
        whole = whole or await _all_up(stage, _PATIENCE)
        self.moments = Moments(start, end, gone, back, watched, whole)
        self.after = fleet.begin_stretch()
        if machines:
            await fleet.until(lambda: stage.ledger.settled(fleet.tally), _patience(stage))
            await stage.agree(machines)

    def judge(self, stage: Stage) -> None:
        requests, when = stage.requests, self.moments
        steady = requests.rate(when.start, when.end)
        attempts = Timeline(stage.fleet.tally.missed).rate(when.gone, when.back)
        window = window_for(steady)
        peak = requests.peak(when.back, when.watched - window, window)
        ratio = peak / steady if steady else 0.0
        whole = None if when.whole is None else when.whole - when.back
        stage.figure("steadyRequestsPerSecond", "requests a second before", round(steady, 1))
        stage.figure("attemptsPerSecond", "attempts a second while away", round(attempts, 1))
        stage.figure("peakRequestsPerSecond", f"requests a second at the peak, over {window} s", round(peak, 1))
        stage.figure("peakWindowSeconds", "the window of the peak", window, "s")
        stage.figure("peakRatio", "peak over steady", round(ratio, 2), "×")
        one = requests.peak(when.back, when.watched - 1, 1)
        stage.figure("busiestSecond", "requests in the busiest second", round(one))
        stage.figure("allBackSeconds", "until every machine was back", whole, "s")
        stage.latency("returnBeat", "a beat after the return", self.after)
        stage.promise("peak", "after the return at most twice the steady rate", 0 < ratio <= 2, f"{ratio:.2f} ×")
        seen = "not all" if whole is None else f"after {whole:.0f} s"
        stage.promise("back", "every machine comes back", whole is not None, seen)


class Mutations:
    """A change for each of some machines."""

    gives_orders = True

    async def play(self, stage: Stage) -> None:
        orders, fleet = _of(stage), stage.fleet
        stage.mark("steady")
        await anyio.sleep(stage.sizes.measure)
        stage.mark("orders")
        fleet.begin_stretch()
        machines = stage.some_machines()
        for machine in machines:
            await orders.add_project(machine, fleet.hosts[machine])
        await fleet.until(lambda: stage.ledger.settled(fleet.tally), _patience(stage))
        self._stretch = fleet.begin_stretch()
        await stage.agree(machines)

    def judge(self, stage: Stage) -> None:
        account = stage.ledger.account(stage.fleet.tally)
        for name, label, waited in (
            ("applied", "ordered to applied", account.waited_applied),
            ("acked", "ordered to acked", account.waited_acked),
        ):
            for share in (50, 99):
                stage.figure(f"{name}P{share}Seconds", f"{label}, p{share}", quantile(waited, share / 100), "s")
        extra = self._stretch.ack_beats
        stage.figure("extraRequests", "requests more, to bring the acks", extra)
        stage.figure("extraPerMutation", "of them for each change", round(extra / max(account.ordered, 1), 2))
        stage.latency("beat", "a beat meanwhile", self._stretch)
        if stage.plan.held:
            worst = quantile(account.waited_acked, 0.99)
            stage.promise("prompt", "acked within a second, p99", worst is not None and worst < 1, _seconds(worst))


class Backlog:
    """One machine was off while much was ordered for it."""

    gives_orders = True

    async def play(self, stage: Stage) -> None:
        orders, fleet, sizes = _of(stage), stage.fleet, stage.sizes
        await fleet.order(Order("pause", 0))
        stage.mark("steady")
        fleet.begin_stretch()
        await anyio.sleep(sizes.measure)
        self.quiet = fleet.begin_stretch()
        stage.mark("orders")
        for number in range(sizes.queued):
            if number % _POLICY_EVERY == 0:
                await orders.set_policy(0, fleet.hosts[0], _POLICY_ROWS)
            elif number % _POLICY_EVERY == 1:
                await orders.add_project(0, fleet.hosts[0])
            else:
                await orders.set_policy(0, fleet.hosts[0], 0)
        fleet.begin_stretch()
        self.resumed = stage.mark("drain")
        await fleet.order(Order("resume", 0))
        patience = _patience(stage) + sizes.queued / _SLOWEST_DRAIN
        await fleet.until(lambda: stage.ledger.settled(fleet.tally), patience)
        stage.mark("drained")
        self.busy = fleet.begin_stretch()
        await stage.agree([0])

    def judge(self, stage: Stage) -> None:
        account = stage.ledger.account(stage.fleet.tally)
        last = max((moment for _, moment in stage.fleet.tally.acked), default=None)
        stage.figure("queued", "changes queued for one machine", account.ordered)
        stage.figure("drainSeconds", "until the last was acked", None if last is None else last - self.resumed, "s")
        stage.figure("drainBeats", "beats that took", self.busy.ack_beats)
        most, largest = self.busy.most_mutations, self.busy.largest_mutations
        stage.figure("mostMutations", "most changes in one answer", most)
        stage.figure("largestBytes", "most bytes of them in one answer", largest, "B")
        stage.latency("quietBeat", "a beat of the others before", self.quiet)
        stage.latency("busyBeat", "a beat of the others meanwhile", self.busy)
        stage.promise(
            "order",
            "applied in the order of creation",
            account.disordered == 0,
            f"{account.disordered} out of order",
        )
        stage.promise("page", "at most 500 changes in an answer", 0 < most <= _MOST_MUTATIONS, f"{most}")
        stage.promise(
            "bytes", "at most 512 KiB of them in an answer", 0 < largest <= _MOST_BYTES, f"{largest / 1024:.0f} KiB"
        )


def exactly_once(stage: Stage) -> None:
    """The promises about every change that was ordered, in whatever scenario."""
    if not len(stage.ledger):
        return
    account, tally = stage.ledger.account(stage.fleet.tally), stage.fleet.tally
    stage.promise(
        "lost", "every change is applied and acked", account.lost == 0, f"{account.lost} of {account.ordered} lost"
    )
    stage.promise("doubled", "none is applied twice", account.doubled == 0, f"{account.doubled} doubled")
    stage.promise(
        "afterAck", "none comes again once its ack was accepted", tally.after_ack == 0, f"{tally.after_ack} came"
    )
    if stage.agreed is not None:
        stage.promise("agreed", "the platform says the same", stage.agreed, "yes" if stage.agreed else "no")


async def _all_up(stage: Stage, seconds: float) -> float | None:
    """When no machine was down any more; None where that takes longer."""
    return stage.now() if await stage.fleet.until(lambda: stage.fleet.down == 0, seconds) else None


def _answered(stage: Stage, stretch: Tally) -> None:
    reasons = stage.reasons(stretch)
    stage.promise(
        "answered", "every request is answered as it should be", not stretch.failures, f"failed: {reasons}"
    )


def _peak(stage: Stage, start: float, end: float, rate: float) -> None:
    window = window_for(rate)
    peak = stage.requests.peak(start, max(start, end - window), window)
    stage.figure("peakRequestsPerSecond", f"at most, over {window} s", round(peak, 1))


def _of(stage: Stage) -> Orders:
    assert stage.orders is not None
    return stage.orders


def _patience(stage: Stage) -> float:
    """Seconds that what was ordered may take, with a fault or two on its way."""
    return 2 * _CAP_INTERVALS * stage.sizes.interval + _PATIENCE


def _seconds(value: float | None) -> str:
    return "none was" if value is None else f"{value:.2f} s"


SCENARIOS: dict[str, type[Steady | Outage | Mutations | Backlog]] = {
    "steady": Steady,
    "outage": Outage,
    "mutations": Mutations,
    "backlog": Backlog,
}
