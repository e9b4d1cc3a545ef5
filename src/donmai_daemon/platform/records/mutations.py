"""Mutations as the platform keeps them, and what a beat does to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.wire import HostStatus

MutationStatus: TypeAlias = Literal["pending", "delivered", "applied", "failed", "cancelled"]
CountTransition: TypeAlias = Callable[[MutationStatus], None]
"""Called for each mutation that has come into a status."""
CancelOutcome: TypeAlias = Literal["cancelled", "already_delivered", "already_cancelled"]

MAX_DELIVERED, MAX_DELIVERED_BYTES = 500, 512 * 1024
"""Most mutations, and most bytes of them as JSON, in one answer (specification of the wire, limits)."""

HOST_REMOVED = "the machine was removed before it said how this ended"
"""The error of what was delivered to a machine that nobody hears any more; it may have been applied."""


@dataclass(frozen=True, slots=True)
class MutationRecord:
    """One queued change. `wire_bytes` is its size in a beat's answer; `undoes` names the mutation it takes back.

    `before` is what the machine had reported of the entry when the mutation was delivered, None where it had not.
    """

    id: str
    org_id: str
    host_id: str
    op: str
    params: JsonObject
    status: MutationStatus
    requested_by: str
    created_at: datetime
    wire_bytes: int
    not_before: datetime | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    settled_at: datetime | None = None
    error: str | None = None
    undoes: str | None = None
    before: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the audit trail. `came_from` None: the thing was made."""

    at: datetime
    by: str
    came_from: str | None
    to: str


@dataclass(frozen=True, slots=True)
class SettledAck:
    """How the daemon says a mutation ended. `error` is None exactly when it was applied."""

    id: str
    error: str | None


@dataclass(frozen=True, slots=True)
class BeatExchange:
    """One beat, as the store has to record and answer it, in one transaction.

    `reported_digest` is the `allowlistHash` it carries: the stored report is what the machine has now where the two are
    equal. With `hold`, nothing is read out unless there is news: a mutation never delivered before, or another host
    status than this worker was told last.
    """

    worker_id: str
    at: datetime
    acks: tuple[SettledAck, ...] = ()
    reported_digest: str | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class BeatOutcome:
    """What a beat is answered with. `answered` is False where the beat is to be held.

    `next_due` is when the earliest mutation with a `notBefore` comes due. `foreign_acks` are ids that are not, or not
    in that state, this host's.
    """

    host_id: str
    org_id: str
    host_status: HostStatus
    mutations: tuple[MutationRecord, ...]
    queued_work: int
    answered: bool = True
    next_due: datetime | None = None
    foreign_acks: tuple[str, ...] = ()
