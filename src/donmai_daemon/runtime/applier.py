"""From the inbox to the file, exactly once: intent, effect, outcome, each on disk before the next.

1. Handlers decide on the document as it was read.
2. The journal gets the plan: digests before and after, the temporary name, every outcome.
3. The file is replaced.
4. The journal gets the outcomes and the acks, in one transaction.

Power may fail after each line. What the next start finds tells where: see `recover`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from donmai_daemon.errors import ConfigInvalid, ConfigUnwritable, JournalUnavailable
from donmai_daemon.model.json import Json
from donmai_daemon.model.mutation import MutationRecord, MutationRequest
from donmai_daemon.model.status import Preview
from donmai_daemon.ops.document import Document
from donmai_daemon.runtime.configuration import Configuration, Understood
from donmai_daemon.runtime.verdicts import Decision, decide
from donmai_daemon.store.atomic import Step, discard, no_step
from donmai_daemon.store.config_file import ABSENT, ChangedUnderneath, digest, read_digest
from donmai_daemon.store.journal import Journal, Plan

_TRIES = 8
"""How often a person's saves may get in between before the applier waits for the hands to rest."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one run of the config lane did.

    `current` is the file as it is now, where it is good. `problem` says why mutations still wait (`waiting` of them).
    """

    current: Understood | None = None
    settled: int = 0
    waiting: int = 0
    problem: ConfigInvalid | ConfigUnwritable | JournalUnavailable | None = None
    internal_errors: tuple[str, ...] = ()
    kept: bool = False
    """A file that was taken out waits for its second look."""
    verdict_counts: Mapping[str, int] = field(default_factory=dict)


class Applier:
    """Blocking; used from the store thread only. `name` makes the random part of a temporary name."""

    def __init__(
        self,
        journal: Journal,
        configuration: Configuration,
        now: Callable[[], datetime],
        name: Callable[[], str],
        step: Step = no_step,
    ) -> None:
        self._journal = journal
        self._configuration = configuration
        self._now = now
        self._name = name
        self._step = step
        self._log = structlog.get_logger("applier")

    def run(self) -> Applied:
        """Settle what waits in the config lane, in one replacement of the file."""
        records: list[MutationRecord] = []
        try:
            records = self._journal.pending("config")
            waiting = len(records)
            for plan in self._journal.plans("planned"):
                self._resolve(plan)  # of a run that was cut short by an I/O error
                records = self._journal.pending("config")  # what it has settled is not to be applied again
            for _ in range(_TRIES):
                try:
                    applied = self._run(records)
                    return replace(applied, settled=applied.settled + waiting - len(records))
                except ChangedUnderneath:
                    self._log.info("applier.file_changed_underneath", path=str(self._configuration.file.path))
            cause = "it is being saved all the time"
            return Applied(waiting=len(records), problem=ConfigUnwritable(cause))
        except (ConfigInvalid, ConfigUnwritable, JournalUnavailable) as error:
            return Applied(waiting=len(records), problem=error)
        except OSError as error:  # what an earlier run left cannot be put in order: not a thing to build upon
            return Applied(waiting=len(records), problem=ConfigUnwritable(error.strerror or type(error).__name__))

    def _run(self, records: list[MutationRecord]) -> Applied:
        understood = self._configuration.read()
        if not records:
            self._configuration.adopt(understood)
            return Applied(current=understood)
        validated: dict[int, Understood] = {}

        def valid(document: Document) -> None:
            validated[id(document)] = self._configuration.understand(understood.read, document)

        decision = decide(understood.document, records, understood.config.remote, valid)
        self._step("applier.decided")
        kept = False
        if decision.document.data == understood.read.data:
            self._journal.settle(decision.verdicts, self._now())
            current = understood
        else:
            loaded = validated[id(decision.document)].loaded
            current = self._replace(understood, decision)
            current = Understood(current.read, decision.document, loaded)
            kept = understood.read.exists
        self._step("applier.settled")
        self._configuration.adopt(current)
        outcomes = [verdict.outcome for verdict in decision.verdicts]
        return Applied(
            current=current,
            settled=len(records),
            internal_errors=decision.internal_errors,
            kept=kept,
            verdict_counts={outcome: outcomes.count(outcome) for outcome in set(outcomes)},
        )

    def _replace(self, understood: Understood, decision: Decision) -> Understood:
        read = understood.read
        data = decision.document.data
        temporary = read.target.with_name(f".{read.target.name}.donmai-{self._name()}")
        plan = self._journal.plan(read.target, temporary, read.digest, digest(data), decision.verdicts, self._now())
        self._step("applier.planned")
        try:
            written = self._configuration.file.replace(read, data, temporary)
        except (ChangedUnderneath, ConfigUnwritable):
            self._resolve(plan)
            raise
        self._step("applier.replaced")
        self._journal.settle_plan(plan, self._now(), keep=read.exists)
        return Understood(written, decision.document, understood.loaded)

    def recover(self) -> None:
        """At a start: finish what a crash cut short, and let go what an earlier run kept for a second look.

        Where the file system will not have it now, that is left to `run` and the next second look.
        """
        kept = {plan.id for plan in self._journal.plans("kept")}
        try:
            for plan in self._journal.plans("planned"):
                self._resolve(plan)
            self.look_again(kept)
        except OSError as error:
            self._log.warning("applier.recovery_postponed", reason=error.strerror)

    def keeps(self) -> bool:
        """Whether a file that was taken out still waits for its second look."""
        return bool(self._journal.plans("kept"))

    def _resolve(self, plan: Plan) -> None:
        """Decide by what lies under the two names whether the replacement happened."""
        file = self._configuration.file
        file.settle_names(plan.temporary)
        beside, there = read_digest(plan.temporary), read_digest(plan.target)
        if beside not in {ABSENT, plan.before, plan.after}:
            # A person's save, which the swap took out: it goes back in, and the mutations are applied on top of it.
            file.put_back(plan.temporary, plan.target, {plan.before, plan.after})
            self._journal.drop_plan(plan)
            self._log.warning("applier.persons_save_restored", path=str(plan.target))
        elif there == plan.after:
            self._step("recover.replaced")
            keep = beside == plan.before and beside != ABSENT
            if not keep:
                discard(plan.temporary)
            self._journal.settle_plan(plan, self._now(), keep=keep)
        else:
            self._step("recover.not_replaced")
            discard(plan.temporary)
            self._journal.drop_plan(plan)

    def look_again(self, only: Container[int] | None = None) -> None:
        """Look at the files that were taken out once more, and let them go if nobody wrote to them.

        An editor that had the file open may have saved into it after the swap. Then that save goes back in, and
        everything that was applied since is queued again, locally, to be applied on top of it. `only`: plan numbers.
        """
        plans = self._journal.plans("kept")
        for plan in plans:
            if only is not None and plan.id not in only:
                continue
            beside = read_digest(plan.temporary)
            if beside not in {ABSENT, plan.before}:
                self._restore_late_save(plan, beside, newest=plans[-1].after)
            else:
                discard(plan.temporary)
            self._step("kept.released")
            self._journal.drop_plan(plan)

    def _restore_late_save(self, plan: Plan, late: str, newest: str) -> None:
        if read_digest(plan.target) != newest:
            # The file was saved by other means since: which of the two is newer nobody can say, so both are kept.
            beside = plan.target.with_name(f"{plan.target.name}.saved-{late[:8]}")
            plan.temporary.rename(beside)
            self._log.warning("applier.late_save_set_aside", path=str(beside))
            return
        # Queued first: a crash in between finds the save again and queues the same ids.
        self._journal.resubmit_since(plan, late[:12], self._now())
        self._step("kept.resubmitted")
        self._configuration.file.put_back(plan.temporary, plan.target, {newest})
        self._log.warning("applier.late_save_restored", path=str(plan.target))

    def preview(self, op: str, params: Mapping[str, Json]) -> Preview:
        """What a local change would do to the file as it is now. Raises as `Configuration.read`."""
        understood = self._configuration.read()
        request = MutationRequest("preview", op, dict(params), None, None, "local")
        record = MutationRecord(request, "config", "pending", "")

        def valid(document: Document) -> None:
            self._configuration.understand(understood.read, document)

        decision = decide(
            understood.document,
            [record],
            understood.config.remote,
            valid,
            verify_each=True,
        )
        verdict = decision.verdicts[0]
        return Preview(verdict.outcome, verdict.diff, verdict.error)
