"""What is played: each scenario does something to a platform and says afterwards what must have held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio

from donmai_daemon.errors import UsageError
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
_PATIENCE = 60.0
_POLICY_EVERY, _POLICY_ROWS = 16, 290  # 15 KB: with the small ones between them 500 orders exceed 512 KiB


class Scenario(Protocol):
    """`judge` is called when the machines have ended, and only after `play` has come to its end."""

    async def play(self, stage: Stage) -> None: ...

    def judge(self, stage: Stage) -> None: ...


class Steady:
    """Nothing happens, for a while."""

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


class Outage:
    """The platform goes away and comes back. What was ordered just before must not suffer."""

    async def play(self, stage: Stage) -> None:
        sizes, fleet = stage.sizes, stage.fleet
        self._start = stage.mark("steady")
        await anyio.sleep(sizes.measure)
        self._end = stage.now()
        machines = stage.some_machines() if stage.orders is not None else []
        for machine in machines:
            await _of(stage).add_project(machine, fleet.hosts[machine])
        stage.mark("away")
        await stage.target.go_away(fleet)
        self._gone = stage.now()
        await anyio.sleep(sizes.outage)
        self._back = stage.mark("back")
        await stage.target.come_back(fleet)
        fleet.begin_stretch()
        watch = anyio.move_on_after((_CAP_INTERVALS + 1) * sizes.interval)
        with watch:
            self._whole = None
            if await fleet.until(lambda: fleet.down == 0, _CAP_INTERVALS * sizes.interval + _PATIENCE):
                self._whole = stage.now()
            await anyio.sleep_forever()
        self._watched = stage.now()
        self._stretch = fleet.begin_stretch()
        if machines:
            await fleet.until(lambda: stage.ledger.settled(fleet.tally), _PATIENCE)
            await stage.agree(machines)

    def judge(self, stage: Stage) -> None:
        requests = stage.requests
        steady = requests.rate(self._start, self._end)
        attempts = Timeline(stage.fleet.tally.missed).rate(self._gone, self._back)
        stage.figure("steadyRequestsPerSecond", "requests a second before", round(steady, 1))
        stage.figure("attemptsPerSecond", "attempts a second while away", round(attempts, 1))
        window = window_for(steady)
        peak = requests.peak(self._back, self._watched - window, window)
        stage.figure("peakWindowSeconds", "the peak is over", window, "s")
        stage.figure("peakRequestsPerSecond", "requests a second at the peak", round(peak, 1))
        one = requests.peak(self._back, self._watched - 1, 1)
        stage.figure("busiestSecond", "requests in the busiest second", round(one))
        ratio = peak / steady if steady else 0.0
        stage.figure("peakRatio", "peak over steady", round(ratio, 2), "×")
        whole = None if self._whole is None else self._whole - self._back
        stage.figure("allBackSeconds", "until every machine was back", whole, "s")
        stage.latency("returnBeat", "a beat after the return", self._stretch)
        stage.promise(
            "peak", "after the return at most twice the steady rate", 0 < ratio <= 2, f"{ratio:.2f} × at the peak"
        )
        seen = "not all" if whole is None else f"after {whole:.0f} s"
        stage.promise("back", "every machine comes back", whole is not None, seen)


class Mutations:
    """A change for each of some machines."""

    async def play(self, stage: Stage) -> None:
        orders, fleet = _of(stage), stage.fleet
        self._before = (stage.mark("steady"), 0.0)
        await anyio.sleep(stage.sizes.measure)
        self._start = stage.mark("orders")
        fleet.begin_stretch()
        machines = stage.some_machines()
        for machine in machines:
            await orders.add_project(machine, fleet.hosts[machine])
        patience = 4 * _CAP_INTERVALS * stage.sizes.interval + _PATIENCE
        await fleet.until(lambda: stage.ledger.settled(fleet.tally), patience)
        self._end = stage.now()
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

    async def play(self, stage: Stage) -> None:
        orders, fleet, sizes = _of(stage), stage.fleet, stage.sizes
        await fleet.order(Order("pause", 0))
        stage.mark("steady")
        fleet.begin_stretch()
        await anyio.sleep(sizes.measure)
        self._quiet = fleet.begin_stretch()
        stage.mark("orders")
        for number in range(sizes.queued):
            if number % _POLICY_EVERY == 0:
                await orders.set_policy(0, fleet.hosts[0], _POLICY_ROWS)
            elif number % _POLICY_EVERY == 1:
                await orders.add_project(0, fleet.hosts[0])
            else:
                await orders.set_policy(0, fleet.hosts[0], 0)
        fleet.begin_stretch()
        self._on = stage.mark("drain")
        await fleet.order(Order("resume", 0))
        patience = sizes.queued / 10 + 2 * _CAP_INTERVALS * sizes.interval + _PATIENCE
        await fleet.until(lambda: stage.ledger.settled(fleet.tally), patience)
        stage.mark("drained")
        self._busy = fleet.begin_stretch()
        await stage.agree([0])

    def judge(self, stage: Stage) -> None:
        account = stage.ledger.account(stage.fleet.tally)
        last = max((moment for _, moment in stage.fleet.tally.acked), default=None)
        stage.figure("queued", "changes queued for one machine", account.ordered)
        stage.figure("drainSeconds", "until the last was acked", None if last is None else last - self._on, "s")
        stage.figure("drainBeats", "beats that took", self._busy.ack_beats)
        most, largest = self._busy.most_mutations, self._busy.largest_mutations
        stage.figure("mostMutations", "most changes in one answer", most)
        stage.figure("largestBytes", "most bytes of them in one answer", largest, "B")
        stage.latency("quietBeat", "a beat of the others before", self._quiet)
        stage.latency("busyBeat", "a beat of the others meanwhile", self._busy)
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
    if stage.orders is None:
        raise UsageError(
            "this scenario gives orders: DONMAI_API_KEY must hold a key of an admin or owner",
            hint="make one: donmai platform key create --org ORG --role admin",
        )
    return stage.orders


def _seconds(value: float | None) -> str:
    return "none was" if value is None else f"{value:.2f} s"


SCENARIOS: dict[str, type[Steady | Outage | Mutations | Backlog]] = {
    "steady": Steady,
    "outage": Outage,
    "mutations": Mutations,
    "backlog": Backlog,
}
