"""A machine becomes a worker, and keeps being one: registration and refresh."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.conditions import Absent, Forbidden, Unauthorized
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.hosts import AdmissionRecord, NewRegistration, WorkerRecord
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.service.keys import REGISTRARS, require
from donmai_daemon.platform.service.tokens import WORKER_SCOPE, Claims, Minted, Tokens
from donmai_daemon.platform.store.ports import HostStore
from donmai_daemon.platform.wakeups import Wakeups, host_topic


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine says when it registers. `machine_id` None: it is told apart by its host name, for want of better."""

    hostname: str
    capacity: int
    machine_id: str | None = None
    version: str | None = None
    region: str | None = None
    admission: AdmissionRecord | None = None
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker and its first token."""

    worker_id: str
    host_id: str
    minted: Minted


class Registration:
    """Hands out worker ids and runtime tokens."""

    def __init__(self, store: HostStore, tokens: Tokens, wakeups: Wakeups, clock: Clock, names: Names) -> None:
        self._store = store
        self._wakeups = wakeups
        self._tokens = tokens
        self._clock = clock
        self._names = names
        self._log = structlog.get_logger("platform.registration")

    async def register(self, key: KeyRecord, machine: Machine) -> NewWorker:
        """A new worker id for the machine's host; the one before stops working. Raises `Forbidden`."""
        require(key, REGISTRARS)
        worker_id = self._names.new("wkr")
        host_id = await self._store.register(
            NewRegistration(
                worker_id=worker_id,
                host_id=self._names.new("host"),
                org_id=key.org_id,
                key_id=key.id,
                machine_id=machine.machine_id or f"hostname:{machine.hostname}",
                hostname=machine.hostname,
                version=machine.version,
                region=machine.region,
                capacity=machine.capacity,
                admission=machine.admission,
                details=machine.details,
                at=self._clock.now(),
            )
        )
        self._log.info("worker.registered", org=key.org_id, host=host_id, worker=worker_id, key=key.id)
        await self._wakeups.publish(host_topic(host_id))  # a beat that the former worker still holds
        minted = await self._tokens.mint(_worker_claims(worker_id, host_id, key.org_id))
        return NewWorker(worker_id, host_id, minted)

    async def refresh_by_key(self, key: KeyRecord, worker_id: str) -> Minted:
        """A fresh token for the same worker. Raises `Forbidden`, `Absent`."""
        require(key, REGISTRARS)
        worker = await self._store.worker(worker_id)
        if worker is None or worker.org_id != key.org_id or not worker.current:
            raise Absent("no such worker")
        return await self._mint(worker)

    async def refresh_by_token(self, claims: Claims, worker_id: str) -> Minted:
        """The same for the bearer of a token that is still good.

        Raises `Forbidden`, `Absent`, and `Unauthorized` once the key that registered the worker is revoked: else a
        token could outlive its key for ever.
        """
        own_path(claims, worker_id)
        worker = await self._store.worker(worker_id)
        if worker is None or not worker.current:
            raise Absent("no such worker")
        if worker.key_revoked:
            raise Unauthorized("the key that registered this worker was revoked")
        return await self._mint(worker)

    async def _mint(self, worker: WorkerRecord) -> Minted:
        return await self._tokens.mint(_worker_claims(worker.id, worker.host_id, worker.org_id))


def own_path(claims: Claims, worker_id: str) -> None:
    """Raises `Forbidden` where the token is not this worker's own, or is for one session only."""
    if claims.subject != worker_id:
        raise Forbidden("this token belongs to another worker")
    if WORKER_SCOPE not in claims.scope:
        raise Forbidden("this token is for one session only")


def _worker_claims(worker_id: str, host_id: str, org_id: str) -> Claims:
    return Claims(worker_id, org_id, host_id, (WORKER_SCOPE,))
