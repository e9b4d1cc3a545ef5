"""One simulated machine: the daemon's own identity and heartbeat over a light connection and a journal in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from donmai_daemon import __version__
from donmai_daemon.clock import rfc3339
from donmai_daemon.errors import DonmaiError, PlatformRefused
from donmai_daemon.link.client import BEAT_DEADLINE, PlatformClient
from donmai_daemon.link.credentials import Binding, CredentialsCache, Grant
from donmai_daemon.link.identity import Identity
from donmai_daemon.link.retry import Backoff
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.registration import HostInfo, Registration
from donmai_daemon.model.secret import Secret
from donmai_daemon.model.wire import BeatAnswer
from donmai_daemon.runtime.beats import Received
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.heartbeat import Heartbeat
from donmai_daemon.runtime.startup import first_delay
from donmai_daemon.simulate.desk import MAX_SESSIONS, SimulatedDesk
from donmai_daemon.simulate.journal import MemoryJournal
from donmai_daemon.simulate.line import Line
from donmai_daemon.simulate.messages import Plan
from donmai_daemon.simulate.surroundings import Surroundings


class Machine:
    """What survives a restart of its daemon, and the daemon that runs now.

    The daemon takes no work, so it never polls; everything else that it sends is the daemon's own doing.
    """

    def __init__(self, number: int, plan: Plan, around: Surroundings, token: Secret) -> None:
        """`number` tells it apart within the simulation; the same `seed` and number are always the same machine."""
        self.number = number
        self._plan = plan
        self._around = around
        self._token = token
        self._id = f"sim-{plan.seed}-{number:06}"
        self._rng = random.Random(self._id)  # noqa: S311 - chance to be repeated, not to be secret
        self._started_at = rfc3339(around.clock.now())
        self._line = Line(around, self._rng)
        self._client = _Client(self._line, plan.held, around)
        self._cache = _MemoryCache()
        self._journal = MemoryJournal()
        self._desk = SimulatedDesk(number, around, self._journal, self._rng)
        self._running = anyio.Event()
        self._running.set()
        self._daemon = self._new_daemon(0.0)
        self.interval = plan.interval
        """Seconds between beats: the platform's value, once it has joined."""

    @property
    def down(self) -> bool:
        """Whether its last beat was in vain, and not on purpose."""
        return self._daemon.heartbeat.trace().last_error is not None and not self._line.spoiled

    async def join(self) -> str:
        """Become a worker, however long it takes; the platform's id of this host."""
        backoff = Backoff(self._rng)
        while True:
            try:
                await self._daemon.identity.current()
                self.interval = self._daemon.heartbeat.interval
                return self._daemon.identity.worker_host_id or ""
            except DonmaiError as error:
                wait = error.retry_after if isinstance(error, PlatformRefused) else None
                await anyio.sleep(backoff.next(cap=4 * self._plan.interval, retry_after=wait))

    async def live(self) -> None:
        """Run the daemon, and another each time that one ends; the first beat is at a random point of an interval."""
        delay = self._rng.uniform(0, self.interval)
        await self._running.wait()
        while True:
            self._daemon = daemon = self._new_daemon(delay)
            if self._desk.apply():
                daemon.heartbeat.tell_now()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(daemon.identity.keep_fresh)
                tasks.start_soon(daemon.heartbeat.run)
                await daemon.ended.wait()
                tasks.cancel_scope.cancel()
            self._line.close()
            await self._running.wait()
            acks_wait = self._journal.counts().unsent > 0
            last = self._journal.accepted_at
            delay = first_delay(self._around.clock, self._rng, self.interval, last, acks_wait=acks_wait)

    def pause(self) -> None:
        """Switch the machine off."""
        self._running = anyio.Event()
        self._daemon.ended.set()

    def resume(self) -> None:
        """Switch it on again."""
        self._running.set()

    def hang_up(self) -> None:
        """The network is gone, and the connection with it."""
        self._line.close()

    def _new_daemon(self, delay: float) -> _Daemon:
        clock, conditions = self._around.clock, Conditions(self._around.clock)
        self._desk.conditions = conditions
        identity = Identity(
            client=self._client,
            cache=self._cache,
            machine_id=self._id,
            registration=self._registration,
            registration_token=lambda: self._token,
            conditions=conditions,
            clock=clock,
            rng=self._rng,
            on_change=_nothing,
        )
        heartbeat = Heartbeat(
            identity=identity,
            client=self._client,
            desk=self._desk,
            clock=clock,
            rng=self._rng,
            conditions=conditions,
            configured_interval=lambda: self._plan.interval,
            on_answer=self._answered,
            first_delay=delay,
        )
        return _Daemon(identity, heartbeat, anyio.Event())

    def _answered(self, answer: BeatAnswer, received: Received) -> None:
        """Apply what came. A restart comes before or after it: it must make no difference."""
        restart = self._plan.faults.restart(self._rng)
        if restart:
            self._around.tally.restarts += 1
            self._daemon.ended.set()
        if (not restart or self._rng.random() < 0.5) and self._desk.apply() and received.new_ids:
            self._daemon.heartbeat.tell_now()

    def _registration(self) -> Registration:
        return Registration(
            hostname=self._id,
            capacity=MAX_SESSIONS,
            version=__version__,
            machine_id=self._id,
            host_info=HostInfo("linux", "amd64", __version__, self._started_at, cpu_cores=4, memory_total_mb=8192),
            report=self._desk.report,
        )


@dataclass(frozen=True, slots=True)
class _Daemon:
    """From one start to the next."""

    identity: Identity
    heartbeat: Heartbeat
    ended: anyio.Event


class _Client(PlatformClient):
    """Times plain beats, and takes up a platform's offer to hold them only where it should."""

    def __init__(self, line: Line, held: bool, around: Surroundings) -> None:
        super().__init__(line, {})
        self._held = held
        self._around = around

    async def heartbeat(
        self,
        worker_id: str,
        runtime_token: Secret,
        body: JsonObject,
        *,
        wait: float | None = None,
        timeout: float = BEAT_DEADLINE,  # noqa: ASYNC109 - a deadline over the answer's body too, kept by the line
    ) -> BeatAnswer:
        started = self._around.clock.monotonic()
        answer = await super().heartbeat(worker_id, runtime_token, body, wait=wait, timeout=timeout)
        if not (wait or answer.mutations or "appliedMutations" in body):
            self._around.tally.took(self._around.clock.monotonic() - started)
        return replace(answer, held_beats=answer.held_beats and self._held)


class _MemoryCache(CredentialsCache):
    """The credentials of one machine."""

    def __init__(self) -> None:
        super().__init__(Path(), _write_nothing)
        self._grant: Grant | None = None

    def load(self, binding: Binding) -> Grant | None:
        return self._grant if self._grant is not None and self._grant.binding == binding else None

    def save(self, grant: Grant) -> None:
        self._grant = grant


def _write_nothing(_path: Path, _data: bytes) -> None:
    pass


def _nothing() -> None:
    pass
