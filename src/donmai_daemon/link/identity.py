"""The worker this machine is: registered once, kept fresh, given up only when the platform says it is gone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import anyio
import anyio.to_thread
import structlog

from donmai_daemon.clock import Clock, wait_until
from donmai_daemon.errors import ConfigInvalid, DonmaiError, PlatformRefused, RegistrationTokenMissing
from donmai_daemon.link.client import PlatformClient
from donmai_daemon.link.credentials import TOKEN_VARIABLE, Binding, Credentials, CredentialsCache, Grant
from donmai_daemon.link.floor import RegistrationFloor
from donmai_daemon.link.gate import Gate
from donmai_daemon.link.retry import Backoff
from donmai_daemon.model.condition import ConditionSink
from donmai_daemon.model.registration import Refreshed, Registration
from donmai_daemon.model.secret import Secret

__all__ = ["Credentials", "Identity"]

_GONE = {404, 405}
_REJECTED = {401, 403}
_DEFAULT_INTERVAL = 30.0


class _Flight:
    """One attempt, and everybody who waits for it. Neither `result` nor `error`: it was cancelled."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.result: Credentials | None = None
        self.error: DonmaiError | None = None


class Identity:
    """Worker id and runtime token, for every task that speaks for this machine.

    At most one attempt to get new ones is under way; whoever comes meanwhile shares its end. What the platform refused
    is not asked again before the time is right: until then the refusal is raised at once, with the seconds that remain as
    `retry_after`. Failures that may pass by themselves (no answer, 5xx) are not held back here: callers have a backoff.
    """

    def __init__(
        self,
        *,
        client: PlatformClient,
        cache: CredentialsCache,
        machine_id: str,
        registration: Callable[[], Registration],
        registration_token: Callable[[], Secret | None],
        conditions: ConditionSink,
        clock: Clock,
        rng: random.Random,
        on_change: Callable[[], None],
    ) -> None:
        """`registration_token` is asked before every attempt, in a thread, and may raise `ConfigInvalid`.

        `on_change` is called after the worker id, the token or an interval changed.
        """
        self._client = client
        self._cache = cache
        self._machine_id = machine_id
        self._registration = registration
        self._registration_token = registration_token
        self._conditions = conditions
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._grant: Grant | None = None
        self._usable = False
        self._flight: _Flight | None = None
        self._gate = Gate(clock, rng)
        self._floor = RegistrationFloor(clock)
        self._refresh_at: float | None = None
        self._rescheduled = anyio.Event()
        self._log = structlog.get_logger("identity")

    @property
    def worker_id(self) -> str | None:
        """None before this machine was ever registered."""
        return self._grant.credentials.worker_id if self._grant is not None else None

    @property
    def worker_host_id(self) -> str | None:
        return self._grant.worker_host_id if self._grant is not None else None

    @property
    def heartbeat_interval(self) -> float | None:
        """Seconds, 1 to 3600, as the platform last said; None where it has not."""
        return self._grant.heartbeat_interval if self._grant is not None else None

    @property
    def poll_interval(self) -> float | None:
        """Seconds, 1 to 3600, as the platform last said; None where it has not."""
        return self._grant.poll_interval if self._grant is not None else None

    @property
    def held_beats(self) -> bool:
        """Whether the platform said at registration that it holds beats."""
        return self._grant is not None and self._grant.held_beats

    async def current(self) -> Credentials:
        """The credentials to use; registers or refreshes where there are none.

        Raises what `PlatformClient` raises, `RegistrationTokenMissing`, and `ConfigInvalid` for a bad token file.
        """
        return await self._shared(None)

    async def renew(self, stale: Credentials) -> Credentials:
        """Credentials other than `stale`, which were answered 401 or 404. Raises as `current` does.

        That answer is no evidence that the registration is gone: they are refreshed, and only where the refresh says so
        (404, 405) this machine registers again.
        """
        if self._grant is not None and self._grant.credentials == stale:
            self._usable = False
        return await self._shared(stale)

    def look_again(self) -> None:
        """The token may be another one now: what was refused may be tried again, and what is held is tried out."""
        self._gate.open()
        if self._grant is not None:
            self._schedule(self._clock.monotonic())

    async def keep_fresh(self) -> None:
        """Refresh ahead of the expiry, until cancelled."""
        backoff = Backoff(self._rng)
        while True:
            due = [moment for moment in (self._refresh_at, self._floor.conflict_until) if moment is not None]
            if await wait_until(self._clock, min(due, default=None), self._rescheduled):
                self._rescheduled = anyio.Event()
                backoff.reset()
                continue
            if self._floor.conflict_until is None:
                self._conditions.clear("machine_id_conflict")
            if self._grant is None or self._refresh_at is None or self._refresh_at > self._clock.monotonic():
                continue
            try:
                await self._shared(self._grant.credentials)
            except DonmaiError as error:
                retry_after = error.retry_after if isinstance(error, PlatformRefused) else None
                delay = backoff.next(cap=self._cap, retry_after=retry_after)
                self._refresh_at = self._clock.monotonic() + delay
                self._log.warning("identity.refresh_failed", reason=error.message, retry_in=round(delay, 2))

    async def _shared(self, stale: Credentials | None) -> Credentials:
        while True:
            if self._grant is not None and self._usable and self._grant.credentials != stale:
                return self._grant.credentials
            flight = self._flight
            if flight is None:
                return await self._fly()
            await flight.done.wait()
            if flight.error is not None:
                raise flight.error
            if flight.result is not None:
                return flight.result

    async def _fly(self) -> Credentials:
        flight = self._flight = _Flight()
        try:
            flight.result = await self._obtain()
            return flight.result
        except DonmaiError as error:
            flight.error = error
            raise
        finally:
            self._flight = None
            flight.done.set()

    async def _obtain(self) -> Credentials:
        self._gate.check()
        token = await self._read_token()
        binding = Binding(self._client.url, token.digest, self._machine_id)
        if self._grant is None:
            self._grant = await anyio.to_thread.run_sync(self._cache.load, binding)
            if self._grant is not None and not self._grant.expired(self._clock.now()):
                return self._adopt(self._grant)
        if self._grant is None or self._grant.binding != binding:
            return await self._register(token, binding)
        try:
            refreshed = await self._client.refresh(self._grant.credentials.worker_id, token)
        except PlatformRefused as error:
            if error.status not in _GONE:
                raise self._refused(error) from error
            wait = self._floor.wait()
            if wait > 0:
                raise self._gate.close(error, wait) from error
            return await self._register(token, binding, again=True)
        return await self._keep(self._refreshed(self._grant, refreshed), "identity.refreshed")

    async def _read_token(self) -> Secret:
        try:
            token = await anyio.to_thread.run_sync(self._registration_token)
            if token is None:
                hint = f"set {TOKEN_VARIABLE} or platform.token_file"
                raise RegistrationTokenMissing("there is no registration token", hint=hint)
        except (ConfigInvalid, RegistrationTokenMissing) as error:
            self._conditions.set("credentials_rejected", "error", error.message)
            raise
        return token

    async def _register(self, token: Secret, binding: Binding, *, again: bool = False) -> Credentials:
        self._floor.tried()
        try:
            registered = await self._client.register(token, self._registration())
        except PlatformRefused as error:
            raise self._refused(error) from error
        if again:
            self._became_again()
        grant = Grant(
            credentials=Credentials(registered.worker_id, registered.runtime_token),
            binding=binding,
            issued_at=self._clock.now(),
            expires_at=registered.expires_at,
            worker_host_id=registered.worker_host_id,
            heartbeat_interval=registered.heartbeat_interval_seconds,
            poll_interval=registered.poll_interval_seconds,
            held_beats=registered.held_beats,
        )
        return await self._keep(grant, "identity.registered")

    def _became_again(self) -> None:
        self._floor.became_again()
        if self._floor.conflict_until is not None:
            self._conditions.set(
                "machine_id_conflict",
                "warning",
                f"registered anew repeatedly: another machine may use the machine id {self._machine_id} as well",
            )

    def _refreshed(self, grant: Grant, refreshed: Refreshed) -> Grant:
        return replace(
            grant,
            credentials=Credentials(grant.credentials.worker_id, refreshed.runtime_token),
            issued_at=self._clock.now(),
            expires_at=refreshed.expires_at,
            heartbeat_interval=refreshed.heartbeat_interval_seconds or grant.heartbeat_interval,
            poll_interval=refreshed.poll_interval_seconds or grant.poll_interval,
        )

    async def _keep(self, grant: Grant, event: str) -> Credentials:
        with anyio.CancelScope(shield=True):  # a small local write; cancelled here, the new worker would be lost
            try:
                await anyio.to_thread.run_sync(self._cache.save, grant)
            except OSError as error:  # it serves until the next start, which then registers again
                self._log.warning("identity.not_kept", reason=error.strerror)
        self._log.info(event, worker_id=grant.credentials.worker_id)
        return self._adopt(grant)

    def _adopt(self, grant: Grant) -> Credentials:
        self._grant = grant
        self._usable = True
        self._gate.open()
        self._conditions.clear("credentials_rejected")
        delay = grant.refresh_in(self._clock.now(), self._rng)
        self._schedule(None if delay is None else self._clock.monotonic() + delay)
        self._on_change()
        return grant.credentials

    def _schedule(self, moment: float | None) -> None:
        self._refresh_at = moment
        self._rescheduled.set()

    def _refused(self, error: PlatformRefused) -> PlatformRefused:
        if error.status in _REJECTED:
            self._conditions.set(
                "credentials_rejected", "error", f"the registration token is refused: {error.message}"
            )
        return self._gate.refused(error, self._cap)

    @property
    def _cap(self) -> float:
        return 4 * (self.heartbeat_interval or _DEFAULT_INTERVAL)
