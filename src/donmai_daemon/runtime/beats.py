"""What a beat says, and what becomes of its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from donmai_daemon.clock import Clock, parse_rfc3339
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.mutation import MAX_ACKS_PER_BEAT, JournalCounts
from donmai_daemon.model.status import Occupancy
from donmai_daemon.model.wire import Beat, BeatAnswer, DispatchStatus
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.load import LoadSampler
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.runtime.verdicts import lane_of
from donmai_daemon.store.atomic import Step, no_step
from donmai_daemon.store.journal import AcceptedBeat, Journal

_MAX_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Received:
    """What an accepted answer brought: ids never seen before, and whether acks still wait."""

    new_ids: tuple[str, ...]
    counts: JournalCounts


class BeatDesk:
    """Composes beats from what is true now, and records accepted answers in the journal before anything acts on them."""

    def __init__(
        self,
        *,
        journal: Journal,
        store: StoreThread,
        lifecycle: Lifecycle,
        live_config: LiveConfig,
        host: HostState,
        conditions: Conditions,
        occupancy: Callable[[], Occupancy],
        load: LoadSampler,
        clock: Clock,
        last_seq: int,
        accepted: tuple[str, str] | None,
        step: Step = no_step,
    ) -> None:
        self._journal = journal
        self._store = store
        self._lifecycle = lifecycle
        self._live_config = live_config
        self._host = host
        self._conditions = conditions
        self._occupancy = occupancy
        self._load = load
        self._clock = clock
        # Above everything that was ever accepted, also where the journal was lost: an older beat must not look newer.
        self._seq = max(last_seq, int(clock.now().timestamp() * 1000))
        # Worker id and report digest that the platform has accepted. A new worker id knows nothing of the old one's.
        self._accepted = accepted
        self._step = step

    async def compose(self, worker_id: str) -> Beat:
        """The next beat. Raises `JournalUnavailable`: without the acks it would not be the whole truth."""
        acks = await self._store.run(self._journal.acks, MAX_ACKS_PER_BEAT)
        config = self._live_config.config
        report = AdmissionReport.of(config)
        occupancy = self._occupancy()
        self._seq += 1
        return Beat(
            status=self._status(occupancy.active, config.capacity.max_sessions),
            active_count=occupancy.active,
            active_interactive_count=occupancy.interactive,
            max_sessions=config.capacity.max_sessions,
            report=report,
            full_report=self._accepted != (worker_id, report.digest),
            seq=self._seq,
            load=self._load.sample(),
            acks=acks,
            conditions=self._conditions.current(),
            config_digest=self._live_config.digest,
        )

    def _status(self, active: int, most: int) -> DispatchStatus | None:
        if self._lifecycle.state == "starting":
            return None
        if self._lifecycle.state != "ready":
            return "draining"
        return "busy" if active >= most else "idle"

    async def accepted(self, worker_id: str, beat: Beat, answer: BeatAnswer) -> Received:
        """Record an accepted answer, in one transaction. Raises `JournalUnavailable`: then the beat has failed."""
        self._step("beat.answered")
        record = AcceptedBeat(
            worker_id=worker_id,
            report_digest=beat.report.digest,
            seq=beat.seq,
            server_time=answer.server_time,
            host_status=answer.host_status,
            delivered_acks=tuple(beat.acks),
            mutations=tuple((request, lane_of(request)) for request in answer.mutations),
        )
        new, counts = await self._store.run(self._record, record)
        self._step("beat.recorded")
        self._accepted = (worker_id, beat.report.digest)
        if answer.host_status is not None and answer.host_status.known:
            self._host.told(answer.host_status)
        self._compare_clocks(answer.server_time)
        return Received(tuple(new), counts)

    def _record(self, beat: AcceptedBeat) -> tuple[list[str], JournalCounts]:
        return self._journal.accept(beat, self._clock.now()), self._journal.counts()

    def _compare_clocks(self, server_time: str | None) -> None:
        theirs = parse_rfc3339(server_time) if server_time else None
        if theirs is None:
            return
        skew = self._clock.now() - theirs
        if abs(skew) <= _MAX_SKEW:
            self._conditions.clear("clock_skew")
            return
        direction = "ahead of" if skew > timedelta(0) else "behind"
        seconds = round(abs(skew).total_seconds())
        self._conditions.set(
            "clock_skew",
            "warning",
            f"this machine's clock is {seconds} s {direction} the platform's; is NTP running?",
        )
