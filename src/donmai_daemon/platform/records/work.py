"""Sessions: pieces of agent work, their place in the queue, and who has claimed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from donmai_daemon.model.json import JsonObject

SessionStatus: TypeAlias = Literal["pending", "claimed", "running", "finalizing", "completed", "failed", "stopped"]

STATUSES: tuple[SessionStatus, ...] = (
    "pending", "claimed", "running", "finalizing", "completed", "failed", "stopped"
)  # fmt: skip
ENDED: frozenset[SessionStatus] = frozenset({"completed", "failed", "stopped"})


MAX_CLAIMED_BYTES = 896 * 1024
"""Most that the payloads of one poll's answer may come to, as JSON, unless it is one item alone.

A daemon reads 1 MiB of an answer: what it could not read would lapse, be queued again, and be claimed with the same end.
"""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session. Its payload (prompts, environment, …) is kept apart from it, and only while somebody needs it.

    `queued` says that it is in the queue, where its payload can be read. Taken from there it is `pending` with a
    `claim_id` until the claim is confirmed. `host_id` is None where a sandbox claimed it. `lease_until` is when the
    claim lapses unless it is renewed. A lower `priority` is served sooner. `refusal` is what the last host that gave it
    back had against it.
    """

    id: str
    org_id: str
    project_id: str
    status: SessionStatus
    queued: bool
    priority: int
    queued_at: datetime
    created_by: str
    worker_id: str | None = None
    host_id: str | None = None
    claim_id: str | None = None
    lease_until: datetime | None = None
    stop_requested: bool = False
    nacks: int = 0
    refusal: str | None = None
    error: str | None = None
    summary: str | None = None
    exit_code: int | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def stage(self) -> str:
        """The status, and `offered` while a claim is not confirmed, which the wire has no word for."""
        return "offered" if self.status == "pending" and not self.queued else self.status


Decision: TypeAlias = Callable[[SessionRecord], SessionRecord]
"""What becomes of a session, decided on the row as it is inside the transaction. What it raises takes all of it back."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A poll. `projects` None: any project. `capacity` less what runs (by the worker's own count `active`, or by the
    claims that the store knows of, whichever is more) is how many items may be taken."""

    org_id: str
    host_id: str
    worker_id: str
    projects: frozenset[str] | None
    capacity: int
    active: int
    at: datetime
    confirm_within: timedelta
    new_claim_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class ClaimedWork:
    """One item that a poll has claimed."""

    session: SessionRecord
    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that an agent told. `kind` is thought, action, response or error."""

    session_id: str
    at: datetime
    kind: str
    content: str
