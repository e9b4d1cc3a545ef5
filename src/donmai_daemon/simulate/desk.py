"""What a simulated daemon says in its beats, and what it does with the answers."""

from __future__ import annotations

import json
import random

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.config import Remote
from donmai_daemon.model.json import text_or_none
from donmai_daemon.model.mutation import MAX_ACKS_PER_BEAT, MutationRequest, Verdict
from donmai_daemon.model.wire import Beat, BeatAnswer, Load
from donmai_daemon.runtime.beats import Received
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.verdicts import admit
from donmai_daemon.simulate.effect import effect_of
from donmai_daemon.simulate.journal import MemoryJournal
from donmai_daemon.simulate.surroundings import Surroundings

MAX_SESSIONS = 4


class SimulatedDesk:
    """Stands where `runtime.beats.BeatDesk` does, over a journal in memory and with no file to change.

    Of the configuration it keeps what beats report: the projects.
    """

    def __init__(self, number: int, around: Surroundings, journal: MemoryJournal, rng: random.Random) -> None:
        self._number = number
        self._around = around
        self._journal = journal
        self._rng = rng
        self._seq = int(around.clock.now().timestamp() * 1000)
        self._projects = {"hello": "https://github.com/acme/hello.git"}
        self._effects: dict[str, str] = {}
        self.conditions = Conditions(around.clock)
        """Those of the daemon that runs now; a restart begins without any."""
        self.report = self._reported()

    def _reported(self) -> AdmissionReport:
        return AdmissionReport("enumerated", tuple(sorted(self._projects)), tuple(sorted(self._projects.items())))

    async def compose(self, worker_id: str) -> Beat:
        """The next beat."""
        self._seq += 1
        percent = self._rng.uniform
        return Beat(
            status="idle",
            active_count=0,
            max_sessions=MAX_SESSIONS,
            report=self.report,
            full_report=self._journal.accepted != (worker_id, self.report.digest),
            seq=self._seq,
            load=Load(round(percent(0, 100), 1), round(percent(10, 90), 1), (0.2, 0.2, 0.1)),
            acks=self._journal.acks(MAX_ACKS_PER_BEAT),
            conditions=self.conditions.current(),
            config_digest=self.report.digest,
        )

    async def accepted(self, worker_id: str, beat: Beat, answer: BeatAnswer) -> Received:
        """Record an accepted answer."""
        tally, clock = self._around.tally, self._around.clock
        new, again = self._journal.accept(beat.acks, answer.mutations)
        self._journal.accepted = (worker_id, beat.report.digest)
        self._journal.accepted_at = rfc3339(clock.now())
        tally.beats += 1
        tally.after_ack += len(again)
        if beat.acks:
            tally.ack_beats += 1
            moment = clock.monotonic()
            tally.acked += [(self._effects.pop(ack.id), moment) for ack in beat.acks if ack.id in self._effects]
        if answer.mutations:
            tally.most_mutations = max(tally.most_mutations, len(answer.mutations))
            tally.largest_mutations = max(tally.largest_mutations, _size(answer))
        return Received(tuple(new), self._journal.counts())

    def apply(self) -> int:
        """Apply what is pending; the number of fresh acks that wait."""
        self._journal.settle(self._outcome)
        return self._journal.counts().fresh

    def _outcome(self, request: MutationRequest) -> str | None:
        admitted = admit(request, Remote())
        if isinstance(admitted, Verdict):
            return admitted.error
        effect = effect_of(request.op, request.params)
        self._effects[request.id] = effect
        self._around.tally.applied.append((effect, self._number, self._around.clock.monotonic()))
        if request.op == "project.add":
            self._projects[str(request.params["id"])] = str(text_or_none(request.params, "repository"))
            self.report = self._reported()
        return None


def _size(answer: BeatAnswer) -> int:
    """Bytes of the mutations, each as the shortest JSON of its element."""
    elements = (
        {"id": m.id, "op": m.op, "params": m.params, "requestedAt": m.requested_at, "requestedBy": m.requested_by}
        for m in answer.mutations
    )
    return sum(len(json.dumps(element, separators=(",", ":"))) for element in elements)
