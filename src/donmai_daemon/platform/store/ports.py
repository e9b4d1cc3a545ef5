"""What the platform needs from a store. Every method is one transaction: all of it is durable when it returns, or none.

Each method raises `StoreUnavailable` where the store does not answer; nothing was recorded then, as far as it knows.
Whatever changes state also writes the audit row of the transition, `by` saying who, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.records.census import Census
from donmai_daemon.platform.records.hosts import (
    AdmissionRecord,
    HostRecord,
    Liveness,
    NewRegistration,
    WorkerRecord,
)
from donmai_daemon.platform.records.keys import KeyRecord, SigningKey
from donmai_daemon.platform.records.mutations import (
    BeatExchange,
    BeatOutcome,
    CancelOutcome,
    MutationRecord,
    Transition,
)
from donmai_daemon.platform.records.work import Activity, ClaimedWork, ClaimRequest, Decision, SessionRecord


class KeyStore(Protocol):
    """API keys. A revocation is effective for the next request, in whichever process it was made."""

    async def add_key(self, key: KeyRecord, digest: str) -> None:
        """Keep a new key under the SHA-256 of its text."""
        ...

    async def key_by_digest(self, digest: str) -> KeyRecord | None:
        """The key with this SHA-256, None where there is none or it was revoked."""
        ...

    async def keys(self, org_id: str | None) -> list[KeyRecord]:
        """Keys of one organisation or of all, revoked ones too, oldest first."""
        ...

    async def revoke_key(self, key_id: str, at: datetime, by: str) -> KeyRecord | None:
        """The key as it is now (the first revocation stands), None where there is none."""
        ...


class SigningKeyStore(Protocol):
    """The keys that sign runtime tokens."""

    async def signing_keys(self) -> list[SigningKey]:
        """Those that verify, the one that signs first."""
        ...

    async def ensure_signing_key(self, key: SigningKey) -> None:
        """Take `key` where there is none that signs."""
        ...

    async def rotate_signing_key(self, key: SigningKey, keep: timedelta, by: str) -> None:
        """Let `key` sign from now on. The ones before it verify for `keep` more; those whose time is over are dropped."""
        ...


class HostStore(Protocol):
    """Hosts and the workers that they have been."""

    async def register(self, registration: NewRegistration) -> str:
        """Make the worker the current one of its host, make the host where (org, machine) has none; the host's id."""
        ...

    async def worker(self, worker_id: str) -> WorkerRecord | None: ...

    async def host(self, org_id: str, host_id: str) -> HostRecord | None: ...

    async def hosts(self, org_id: str | None, after: str, limit: int) -> list[HostRecord]:
        """Hosts with an id beyond `after`, by id."""
        ...

    async def set_host_status(self, host_id: str, status: HostStatus, at: datetime, by: str) -> HostRecord | None:
        """The host as it is now, None where there is none."""
        ...

    async def remove_host(self, host_id: str, at: datetime, by: str) -> HostRecord | None:
        """Forget the machine; None where there is none.

        Its worker is superseded, what was not delivered is cancelled, and what was has failed as `HOST_REMOVED` says.
        """
        ...


class LivenessStore(Protocol):
    """What beats say about themselves: not worth a disk write, and gone after a while."""

    async def note(self, liveness: Liveness, outdated_within: timedelta) -> bool:
        """Keep what a beat said. False, and nothing kept, where it is outdated (`is_outdated`)."""
        ...

    async def liveness(self, host_ids: Sequence[str]) -> Mapping[str, Liveness]: ...


class BeatStore(Protocol):
    """The exchange of a beat."""

    async def exchange(self, beat: BeatExchange) -> BeatOutcome | None:
        """Settle what the acks say, then read and stamp what is due. None: no such current worker.

        Read and stamped in one transaction: under any interleaving a mutation is either cancelled or delivered. A
        mutation is stamped with what was reported of its entry (`undo.entry_before`) where the report is up to date and
        no unsettled mutation before it is about the same.
        """
        ...

    async def report(self, worker_id: str, admission: AdmissionRecord) -> bool:
        """Keep a full report. False: no such current worker."""
        ...


class MutationStore(Protocol):
    """The queue of one host, and its history."""

    async def enqueue(self, mutation: MutationRecord) -> bool:
        """Put the mutation last in its host's queue. False: the organisation has no such host."""
        ...

    async def mutation(self, org_id: str, mutation_id: str) -> MutationRecord | None: ...

    async def mutations(self, host_id: str, limit: int) -> list[MutationRecord]:
        """Newest first."""
        ...

    async def history(self, host_id: str, ops: Sequence[str], limit: int) -> list[MutationRecord]:
        """Those of a host by one of `ops`, newest first."""
        ...

    async def cancel(self, org_id: str, mutation_id: str, at: datetime, by: str) -> CancelOutcome | None:
        """Cancel what is still pending, or say why not. None: the organisation has no such mutation."""
        ...

    async def trail(self, mutation_id: str) -> list[Transition]:
        """Every transition of a mutation, oldest first."""
        ...


class WorkStore(Protocol):
    """The queue of each organisation, and its sessions.

    `queue` puts the payload where `queued_payload` and `claim` find it. Whatever makes a session's `queued` False moves
    it to a private place in the same transaction, whatever makes `queued` True moves it back, and the end of a session
    deletes it.
    """

    async def queue(self, session: SessionRecord, payload: JsonObject) -> None: ...

    async def claim(self, request: ClaimRequest) -> list[ClaimedWork]:
        """Take items from the queue, lowest priority number first, oldest first; none that this host may not see yet.

        No more than fit into one answer (`MAX_CLAIMED_BYTES`); the rest stays in its place.
        """
        ...

    async def session(self, session_id: str) -> SessionRecord | None: ...

    async def sessions(self, org_id: str | None, limit: int) -> list[SessionRecord]:
        """Newest first."""
        ...

    async def queued_payload(self, session_id: str) -> JsonObject | None:
        """The payload, while the session is in the queue and not a moment longer."""
        ...

    async def change(self, session_id: str, decide: Decision, at: datetime, by: str) -> SessionRecord | None:
        """Replace the session by what `decide` makes of it, in one transaction. None: no such session."""
        ...

    async def hide(self, session_id: str, host_id: str, until: datetime) -> None:
        """Do not offer this item to this host before `until`."""
        ...

    async def lapsed(self, at: datetime, limit: int) -> list[SessionRecord]:
        """Claims whose `lease_until` has come."""
        ...

    async def add_activity(self, activity: Activity, keep: int) -> None:
        """Append, and forget all but the newest `keep` of the session."""
        ...

    async def activities(self, session_id: str, limit: int) -> list[Activity]:
        """The newest, oldest of them first."""
        ...


class CensusStore(Protocol):
    """Numbers for those who watch the platform."""

    async def census(self, online_since: datetime, stale_since: datetime) -> Census:
        """Count. Online is who has beaten at `online_since` or later, stale who has before, but not before `stale_since`."""
        ...


class Store(
    KeyStore, SigningKeyStore, HostStore, LivenessStore, BeatStore, MutationStore, WorkStore, CensusStore, Protocol
):
    """All of it, as one process opens it."""

    async def ready(self) -> None:
        """Return where the store takes reads and writes now. Raises `StoreUnavailable`."""
        ...
