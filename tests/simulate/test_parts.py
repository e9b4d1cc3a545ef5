"""The parts that only calculate: counts, rates, balances, pictures, verdicts."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from donmai_daemon.cli.simulate_processes import Fleet
from donmai_daemon.cli.simulate_scenarios import Backlog, Moments, Outage, exactly_once
from donmai_daemon.cli.simulate_stage import Sizes, Stage
from donmai_daemon.clock import SystemClock
from donmai_daemon.model.mutation import Ack, MutationRequest
from donmai_daemon.model.secret import Secret
from donmai_daemon.simulate.chart import axis, bars
from donmai_daemon.simulate.effect import effect_of
from donmai_daemon.simulate.faults import Faults
from donmai_daemon.simulate.journal import MemoryJournal
from donmai_daemon.simulate.ledger import Ledger, quantile
from donmai_daemon.simulate.messages import TICK, Plan, Tick
from donmai_daemon.simulate.report import Report
from donmai_daemon.simulate.tally import Tally, bucket, count, percentile
from donmai_daemon.simulate.timeline import Timeline, window_for

# Counting


@given(st.lists(st.floats(1e-5, 100.0), min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.99, 1.0)))
def test_percentiles(durations: list[float], share: float) -> None:
    """A percentile from the buckets is that of the durations themselves, to 1 %."""
    tally = Tally()
    for duration in durations:
        tally.took(duration)
    exact = quantile(tuple(sorted(durations)), share)
    assert percentile(tally.latency, share) == pytest.approx(exact, rel=0.0101)


def test_nothing_measured() -> None:
    """Of nothing there is no percentile."""
    assert percentile({}, 0.5) is None
    assert quantile((), 0.5) is None
    assert bucket(0.0) == 0


def test_tallies_add_up() -> None:
    """Two tallies added are what one would have been, also after a journey as JSON."""
    one, two = Tally(beats=2, most_mutations=5), Tally(beats=3, most_mutations=4, after_ack=1)
    for tally, moment in ((one, 1.0), (two, 1.05), (two, 2.0)):
        count(tally.sent, moment)
    two.failed("status 503")
    two.applied.append(("effect", 7, 1.5))
    one.add(TICK.validate_json(TICK.dump_json(Tick(two, 0, 1.0, {7: "host"}))).tally)
    assert (one.beats, one.most_mutations, one.after_ack) == (5, 5, 1)
    assert one.sent == {10: 2, 20: 1}
    assert one.failures == {"status 503": 1}
    assert one.applied == [("effect", 7, 1.5)]


# Rates


def timeline(*moments: float) -> Timeline:
    bins: dict[int, int] = {}
    for moment in moments:
        count(bins, moment)
    return Timeline(bins)


def test_peak_at_any_tenth() -> None:
    """A peak is found also where it lies across two whole seconds."""
    assert timeline(0.05, 0.75, 0.95, 1.05, 1.25, 3.0).peak(0, 4, 1) == 4.0


def test_rates() -> None:
    """Rates are of the stretch asked for, its end excluded."""
    events = timeline(0.0, 0.5, 1.0, 1.5, 2.0)
    assert events.rate(0, 2) == 2.0
    assert events.by_second(0, 3) == [2, 2, 1]


@pytest.mark.parametrize(("rate", "window"), [(1000.0, 1), (100.0, 1), (33.3, 4), (10.0, 10), (0.0, 1)])
def test_windows(rate: float, window: int) -> None:
    """A peak is looked for over as many seconds as a hundred requests take."""
    assert window_for(rate) == window


# The balance


def balance(applied: Sequence[tuple[str, int, float]], acked: Sequence[tuple[str, float]]) -> tuple[int, int, int]:
    """Lost, doubled and disordered, where a and b were ordered of machine 1, in this order, and c of 2."""
    ledger = Ledger()
    for effect, machine in (("a", 1), ("b", 1), ("c", 2)):
        ledger.order(effect, machine, 10.0)
    account = ledger.account(Tally(applied=list(applied), acked=list(acked)))
    return account.lost, account.doubled, account.disordered


ALL_ACKED = [("a", 12.0), ("b", 12.0), ("c", 12.0)]
ALL_APPLIED = [("a", 1, 11.0), ("b", 1, 11.0), ("c", 2, 11.0)]


def test_balance_of_what_went_well() -> None:
    """Every order once, on its machine, in order: nothing to complain of. What nobody ordered is nobody's concern."""
    assert balance([*ALL_APPLIED, ("else", 1, 11.0)], [*ALL_ACKED, ("else", 12.0)]) == (0, 0, 0)


def test_balance_of_losses() -> None:
    """An order that was never applied is lost, and so is one whose ack was never accepted."""
    assert balance(ALL_APPLIED[1:], ALL_ACKED) == (1, 0, 0)
    assert balance(ALL_APPLIED, ALL_ACKED[1:]) == (1, 0, 0)


def test_balance_of_doubles() -> None:
    """Twice on its machine is one too many; so is once on another, which is no application of the order either."""
    assert balance([*ALL_APPLIED, ("a", 1, 11.5)], ALL_ACKED) == (0, 1, 1)
    assert balance([*ALL_APPLIED, ("c", 1, 11.5)], ALL_ACKED) == (0, 1, 0)
    assert balance([*ALL_APPLIED[:2], ("c", 1, 11.5)], ALL_ACKED) == (1, 1, 0)


def test_balance_of_order() -> None:
    """What was ordered first is applied first, on each machine for itself."""
    second, first, other = ALL_APPLIED[1], ALL_APPLIED[0], ALL_APPLIED[2]
    assert balance([other, second, first], ALL_ACKED) == (0, 0, 1)
    assert balance([other, first, second], ALL_ACKED) == (0, 0, 0)


def test_waiting_times() -> None:
    """How long an order waited counts from the order to its first application and to its accepted ack."""
    ledger = Ledger()
    ledger.order("a", 1, 10.0)
    account = ledger.account(Tally(applied=[("a", 1, 12.0), ("a", 1, 11.0)], acked=[("a", 13.0)]))
    assert (account.waited_applied, account.waited_acked) == ((1.0,), (3.0,))


def test_effects() -> None:
    """Two mutations have the same effect exactly if operation and parameters are the same, in whatever order."""
    one = effect_of("project.add", {"id": "a", "repository": "b"})
    assert one == effect_of("project.add", {"repository": "b", "id": "a"})
    assert one != effect_of("project.add", {"id": "a", "repository": "c"})
    assert one != effect_of("project.remove", {"id": "a", "repository": "b"})


# The journal in memory


def mutation(identifier: str) -> MutationRequest:
    return MutationRequest(identifier, "project.add", {}, None, None)


def test_journal_applies_once() -> None:
    """What is delivered again before its ack was accepted is acked again and not applied again."""
    journal, applied = MemoryJournal(), []

    def apply(request: MutationRequest) -> str | None:
        applied.append(request.id)
        return None

    assert journal.accept([], [mutation("m1"), mutation("m2")]) == (["m1", "m2"], [])
    journal.settle(apply)
    assert journal.accept([], [mutation("m1")]) == ([], [])
    journal.settle(apply)
    assert applied == ["m1", "m2"]
    assert journal.acks(10) == [Ack("m1", None), Ack("m2", None)]


def test_journal_after_an_ack() -> None:
    """What is delivered again after its ack was accepted is noticed, and acked once more but not in haste."""
    journal = MemoryJournal()
    journal.accept([], [mutation("m1")])
    journal.settle(lambda _request: "refused")
    (ack,) = journal.acks(10)
    assert journal.accept([ack], []) == ([], [])
    assert journal.acks(10) == []
    assert journal.accept([], [mutation("m1")]) == ([], ["m1"])
    assert journal.acks(10) == [Ack("m1", "refused", fresh=False)]
    assert journal.counts().fresh == 0


# Faults


def test_faults_are_as_frequent_as_asked() -> None:
    """Of many requests the shares that were asked for have each fate, and the same seed gives the same fates."""
    faults = Faults(lost=0.2, repeated=0.1)
    fates = [faults.fate(rng) for rng in [random.Random(5)] for _ in range(10_000)]
    shares = {fate: fates.count(fate) / len(fates) for fate in set(fates)}
    assert shares == pytest.approx({"good": 0.7, "lost": 0.1, "hung up": 0.1, "repeated": 0.1}, abs=0.02)
    again = random.Random(5)
    assert fates == [faults.fate(again) for _ in range(10_000)]


# Verdicts


class NoPlatform:
    """Nobody is asked: the verdict is about what was counted."""

    url, worker = "http://127.0.0.1:9", Secret("rsk_live_0")
    admin: Secret | None = None

    async def go_away(self, fleet: Fleet) -> None:
        raise AssertionError

    come_back = go_away


def stage_with(tally: Tally, ledger: Ledger | None = None) -> Stage:
    plan = Plan("http://127.0.0.1:9", 0, 10, 1, 1.0, False, Faults())
    fleet = Fleet([plan], Secret("rsk_live_0"), {})
    fleet.tally = tally
    sizes = Sizes(interval=1.0, measure=10.0, outage=10.0, share=0.1, queued=2)
    report = Report("outage", 10, 1.0)
    return Stage(NoPlatform(), fleet, None, ledger or Ledger(), report, sizes, plan, SystemClock())


def broken(stage: Stage) -> list[str]:
    return [promise.name for promise in stage.report.promises if not promise.held]


@pytest.mark.parametrize(("returning", "verdict"), [(100, []), (199, []), (201, ["peak"]), (0, ["peak"])])
def test_verdict_on_a_return(returning: int, verdict: list[str]) -> None:
    """A return at more than twice the steady rate breaks the promise; so does one that nobody takes part in."""
    tally = Tally(sent=dict.fromkeys(range(100), 10) | {305: returning})
    outage, stage = Outage(), stage_with(tally)
    outage.moments, outage.after = Moments(0.0, 10.0, 10.0, 30.0, 40.0, 31.0), Tally()
    outage.judge(stage)
    assert broken(stage) == verdict


def test_verdict_on_those_who_stay_away() -> None:
    """A fleet that is not back as a whole breaks the promise."""
    outage, stage = Outage(), stage_with(Tally(sent=dict.fromkeys([*range(100), *range(300, 400)], 10)))
    outage.moments, outage.after = Moments(0.0, 10.0, 10.0, 30.0, 40.0, None), Tally()
    outage.judge(stage)
    assert broken(stage) == ["back"]


@pytest.mark.parametrize(
    ("most", "largest", "verdict"),
    [(500, 512 * 1024, []), (501, 1, ["page"]), (1, 512 * 1024 + 1, ["bytes"]), (0, 0, ["page", "bytes"])],
)
def test_verdict_on_pages(most: int, largest: int, verdict: list[str]) -> None:
    """An answer with too many changes, or too many bytes of them, breaks its promise."""
    backlog, stage = Backlog(), stage_with(Tally())
    backlog.resumed, backlog.quiet = 0.0, Tally()
    backlog.busy = Tally(most_mutations=most, largest_mutations=largest)
    backlog.judge(stage)
    assert broken(stage) == verdict


def test_verdict_on_changes() -> None:
    """Losses and doubles break a promise of their own each, and so does a platform that tells otherwise."""
    ledger = Ledger()
    ledger.order("a", 1, 0.0)
    stage = stage_with(Tally(), ledger)
    exactly_once(stage)
    assert broken(stage) == ["lost"]
    stage = stage_with(Tally(applied=[("a", 1, 1.0)] * 2, acked=[("a", 2.0)], after_ack=1), ledger)
    stage.agreed = False
    exactly_once(stage)
    assert broken(stage) == ["doubled", "afterAck", "agreed"]


def test_an_interrupted_run_is_no_success() -> None:
    """What did not come to its end has kept no promise."""
    assert Report("steady", 1, 1.0).held
    assert not Report("steady", 1, 1.0, interrupted=True).held


# Pictures


def test_bars() -> None:
    """The highest value reaches the top, half of it the middle, and nothing is nothing."""
    assert bars([0, 4, 8], width=3, height=2) == ["      8 │  █", "      4 │ ██"]
    assert bars([0, 4, 8], width=6, height=2) == ["      8 │    ██", "      4 │  ████"]


def test_bars_keep_peaks() -> None:
    """Where several seconds share a column, it shows the highest of them."""
    assert bars([0, 8, 0, 0], width=2, height=1) == ["      8 │█ "]


def test_axis() -> None:
    """Marks stand where they belong in time; one that would cover another is left out, and its tick stays."""
    assert axis([(0.0, "steady"), (1.0, "away"), (10.0, "back")], seconds=20, width=20) == [
        "      0 └┴┴────────┴─────────",
        "         steady    back",
    ]
