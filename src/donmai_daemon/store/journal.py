"""The journal: what was delivered, what was planned, how it ended, and what the platform still has to be told.

Every public method is one transaction. Blocking; used from the store thread only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import (
    Ack,
    JournalCounts,
    Lane,
    MutationRecord,
    MutationRequest,
    MutationState,
    Origin,
    Outcome,
    Verdict,
)
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.store.atomic import Step, no_step
from donmai_daemon.store.database import Database

KEEP_DETAILS = 10_000
"""Settled mutations whose diff and params are kept; the ids of older ones stay, because a redelivery must be known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One replacement of the file that may or may not have happened."""

    id: int
    target: Path
    temporary: Path
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AcceptedBeat:
    """What an accepted beat leaves behind. `lanes` names the lane of each delivered mutation."""

    worker_id: str
    report_digest: str
    seq: int
    server_time: str | None
    host_status: HostStatus | None
    delivered_acks: Sequence[Ack]
    mutations: Sequence[tuple[MutationRequest, Lane]]


class Journal:
    """The durable memory of the daemon."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path, now: datetime, step: Step = no_step) -> Journal:
        """Raises `JournalTooNew` or `JournalUnavailable`."""
        return cls(Database.open(path, now, step))

    def close(self) -> None:
        self._database.close()

    # -- inbox and outbox

    def accept(self, beat: AcceptedBeat, now: datetime) -> list[str]:
        """Record an accepted beat; the ids that were seen for the first time.

        An ack that the beat carried leaves the outbox. A redelivered id that is settled gets its ack again.
        """
        stamp = rfc3339(now)
        new: list[str] = []
        with self._database.transaction("accept"):
            for ack in beat.delivered_acks:
                self._database.run("delete_ack", id=ack.id)
                self._database.run("stamp_acked", id=ack.id, now=stamp)
            for request, lane in beat.mutations:
                if self._insert(request, lane, stamp):
                    new.append(request.id)
                else:
                    self._database.run("requeue_ack", id=request.id)
            if beat.host_status is not None and beat.host_status.known:
                self._set("host_status", beat.host_status.to_json())
            self._set(
                "accepted_beat",
                {
                    "at": stamp,
                    "serverTime": beat.server_time,
                    "workerId": beat.worker_id,
                    "reportDigest": beat.report_digest,
                },
            )
            self._set("seq", beat.seq)
        return new

    def submit(self, request: MutationRequest, lane: Lane, now: datetime) -> bool:
        """Put a local change in the inbox; False where the id is there already."""
        with self._database.transaction("submit"):
            return self._insert(request, lane, rfc3339(now))

    def acks(self, limit: int) -> list[Ack]:
        """The next acks to send: fresh ones first, oldest first."""
        return [
            Ack(str(row["id"]), _text(row["error"]), bool(row["fresh"]))
            for row in self._database.rows("acks", limit=limit)
        ]

    def counts(self) -> JournalCounts:
        row = self._database.rows("counts")[0]
        return JournalCounts(*(int(row[name] or 0) for name in ("pending", "review", "unsent", "fresh")))

    def pending(self, lane: Lane) -> list[MutationRecord]:
        """Waiting mutations of one lane, in first-seen order."""
        return [_record(row) for row in self._database.rows("pending", lane=lane)]

    def find(self, mutation_id: str) -> MutationRecord | None:
        rows = self._database.rows("find", id=mutation_id)
        return _record(rows[0]) if rows else None

    def recent(self, state: MutationState | None, limit: int) -> list[MutationRecord]:
        """Newest first."""
        return [_record(row) for row in self._database.rows("recent", state=state, limit=limit)]

    # -- outcomes

    def settle(self, verdicts: Iterable[Verdict], now: datetime, host_status: HostStatus | None = None) -> None:
        """Outcomes and acks of mutations that did not need the file, in one transaction."""
        with self._database.transaction("settle"):
            self._settle(verdicts, now)
            if host_status is not None:
                self._set("host_status", host_status.to_json())

    def plan(
        self, target: Path, temporary: Path, before: str, after: str, verdicts: Sequence[Verdict], now: datetime
    ) -> Plan:
        """Write down a replacement before it is begun, with the outcome of every mutation in it."""
        with self._database.transaction("plan"):
            number = self._database.insert(
                "insert_plan",
                target=str(target),
                temporary=str(temporary),
                before_digest=before,
                after_digest=after,
                now=rfc3339(now),
            )
            for verdict in verdicts:
                self._database.run("insert_plan_member", plan_id=number, **_columns(verdict))
        return Plan(number, target, temporary, before, after)

    def settle_plan(self, plan: Plan, now: datetime, *, keep: bool) -> None:
        """The replacement happened: its mutations are settled as planned. `keep`: the old file is still there."""
        with self._database.transaction("settle_plan"):
            rows = self._database.rows("plan_members", plan_id=plan.id)
            self._settle((_verdict(row) for row in rows), now)
            self._database.run("keep_plan" if keep else "delete_plan", plan_id=plan.id)

    def drop_plan(self, plan: Plan) -> None:
        """The replacement did not happen, or its old file is gone for good; mutations stay as they are."""
        with self._database.transaction("drop_plan"):
            self._database.run("delete_plan", plan_id=plan.id)

    def plans(self, state: Literal["planned", "kept"]) -> list[Plan]:
        """Oldest first."""
        return [
            Plan(
                int(row["id"] or 0),
                Path(str(row["target"])),
                Path(str(row["temporary"])),
                str(row["before_digest"]),
                str(row["after_digest"]),
            )
            for row in self._database.rows("plans", state=state)
        ]

    def resubmit_since(self, plan: Plan, suffix: str, now: datetime) -> None:
        """Queue local copies of what was applied by `plan` and after it: the file they were applied to was undone.

        The ids are derived from the originals and `suffix`, so that doing this twice queues them once.
        """
        with self._database.transaction("resubmit"):
            for row in self._database.rows("applied_since", plan_id=plan.id):
                record = _record(row)
                again = MutationRequest(
                    id=f"loc_redo_{suffix}_{record.request.id}",
                    op=record.request.op,
                    params=record.request.params,
                    requested_at=record.request.requested_at,
                    requested_by=record.request.requested_by,
                    origin="local",
                )
                self._insert(again, record.lane, rfc3339(now))

    # -- facts

    def host_status(self) -> HostStatus | None:
        """The last known host status; None where none was ever told."""
        value = self._get("host_status")
        if not isinstance(value, dict):
            return None
        pools = value.get("candidatePoolIds")
        action = value.get("recommendedAction")
        return HostStatus(
            str(value.get("status")),
            action if isinstance(action, str) else None,
            tuple(str(pool) for pool in pools) if isinstance(pools, list) else (),
        )

    def accepted_beat(self) -> JsonObject:
        """`at`, `serverTime`, `workerId`, `reportDigest` of the last accepted beat; empty where there was none."""
        value = self._get("accepted_beat")
        return value if isinstance(value, dict) else {}

    def last_seq(self) -> int:
        """The highest beat number that was accepted, 0 at first."""
        value = self._get("seq")
        return value if isinstance(value, int) else 0

    # -- inside a transaction

    def _insert(self, request: MutationRequest, lane: Lane, stamp: str) -> bool:
        return (
            self._database.run(
                "insert_mutation",
                id=request.id,
                op=request.op,
                params=json.dumps(request.params, ensure_ascii=False),
                requested_at=request.requested_at,
                requested_by=request.requested_by,
                origin=request.origin,
                lane=lane,
                received_at=stamp,
            )
            == 1
        )

    def _settle(self, verdicts: Iterable[Verdict], now: datetime) -> None:
        stamp = rfc3339(now)
        for verdict in verdicts:
            if self._database.run("settle", now=stamp, **_columns(verdict)):
                self._database.run("enqueue_ack", id=verdict.id)
        self._database.run("forget_details", keep=KEEP_DETAILS)

    def _get(self, name: str) -> Json:
        rows = self._database.rows("get_fact", name=name)
        return cast(Json, json.loads(str(rows[0]["value"]))) if rows else None

    def _set(self, name: str, value: Json) -> None:
        self._database.run("set_fact", name=name, value=json.dumps(value, ensure_ascii=False))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _columns(verdict: Verdict) -> dict[str, object]:
    return {
        "id": verdict.id,
        "outcome": verdict.outcome,
        "changed": int(verdict.changed),
        "error": verdict.error,
        "diff": verdict.diff,
    }


def _verdict(row: Mapping[str, str | int | None]) -> Verdict:
    outcome = cast(Outcome, row["outcome"])
    return Verdict(str(row["id"]), outcome, bool(row["changed"]), _text(row["error"]), _text(row["diff"]))


def _record(row: Mapping[str, str | int | None]) -> MutationRecord:
    return MutationRecord(
        request=MutationRequest(
            id=str(row["id"]),
            op=str(row["op"]),
            params=cast(JsonObject, json.loads(str(row["params"]))),
            requested_at=_text(row["requested_at"]),
            requested_by=_text(row["requested_by"]),
            origin=cast(Origin, row["origin"]),
        ),
        lane=cast(Lane, row["lane"]),
        state=cast(MutationState, row["state"]),
        received_at=str(row["received_at"]),
        outcome=cast("Outcome | None", row["outcome"]),
        changed=bool(row["changed"]),
        error=_text(row["error"]),
        diff=_text(row["diff"]),
        settled_at=_text(row["settled_at"]),
        acked_at=_text(row["acked_at"]),
    )
