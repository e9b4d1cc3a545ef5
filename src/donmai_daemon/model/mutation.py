"""Mutations as the daemon keeps them: what was asked, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from donmai_daemon.model.json import JsonObject

Origin: TypeAlias = Literal["remote", "local"]
Lane: TypeAlias = Literal["config", "host"]
MutationState: TypeAlias = Literal["pending", "review", "settled"]
Outcome: TypeAlias = Literal["applied", "failed"]

MAX_ERROR_CHARS = 512
"""Longest error text on the wire (specification of the wire, limits)."""

MAX_ACKS_PER_BEAT = 200


@dataclass(frozen=True, slots=True)
class MutationRequest:
    """A mutation as it was delivered (or asked for locally), before anything was done with it."""

    id: str
    op: str
    params: JsonObject
    requested_at: str | None
    requested_by: str | None
    origin: Origin = "remote"


@dataclass(frozen=True, slots=True)
class MutationRecord:
    """One row of the journal's inbox.

    `outcome` and `settled_at` are None until the outcome is on disk. `changed` is False where the file did
    not have to be touched. `diff` is a unified diff of the configuration file, or None. Times are RFC 3339.
    """

    request: MutationRequest
    lane: Lane
    state: MutationState
    received_at: str
    outcome: Outcome | None = None
    changed: bool = False
    error: str | None = None
    diff: str | None = None
    settled_at: str | None = None
    acked_at: str | None = None

    def to_json(self) -> JsonObject:
        """The flat object of `GET /api/daemon/mutations/{id}`."""
        return {
            "id": self.request.id,
            "op": self.request.op,
            "params": dict(self.request.params),
            "requestedAt": self.request.requested_at,
            "requestedBy": self.request.requested_by,
            "origin": self.request.origin,
            "lane": self.lane,
            "state": self.state,
            "outcome": self.outcome,
            "changed": self.changed,
            "error": self.error,
            "diff": self.diff,
            "receivedAt": self.received_at,
            "settledAt": self.settled_at,
            "ackedAt": self.acked_at,
        }


@dataclass(frozen=True, slots=True)
class Ack:
    """The report of one settled mutation. `error` is None exactly when it was applied.

    `fresh` is True until a beat that carried it was accepted once; a re-ack (of a redelivered, already settled
    id) is not fresh and waits for the regular beat.
    """

    id: str
    error: str | None
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one mutation ends. `error` is None exactly when it was applied; `changed` is False for a no-op."""

    id: str
    outcome: Outcome
    changed: bool = False
    error: str | None = None
    diff: str | None = None


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """What waits: `fresh` of the `unsent` acks have never been delivered."""

    pending: int = 0
    review: int = 0
    unsent: int = 0
    fresh: int = 0
