"""One session as its runner speaks of it to the platform: statuses that cannot count twice, the lock, the credential."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar

import structlog

from donmai_daemon.agent.retrying import retry_after, worth_retrying
from donmai_daemon.clock import Clock
from donmai_daemon.errors import DonmaiError, PlatformRefused
from donmai_daemon.link.client import LockAnswer, PlatformClient
from donmai_daemon.link.retry import Backoff
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.registration import jwt_expiry
from donmai_daemon.model.secret import Secret

T = TypeVar("T")

RunnerStatus: TypeAlias = Literal["running", "finalizing", "completed", "failed", "stopped"]

_MAX_RETRY_SECONDS = 30.0
_RENEW_AHEAD = timedelta(minutes=5)


class PlatformSession:
    """`renew` fetches a new credential for this session; it raises as the platform's calls do."""

    def __init__(
        self,
        *,
        client: PlatformClient,
        session_id: str,
        worker_id: str,
        claim_id: str | None,
        issue_id: str | None,
        token: Secret,
        renew: Callable[[Secret], Awaitable[Secret]],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._session_id = session_id
        self._worker_id = worker_id
        self._claim_id = claim_id
        self._issue_id = issue_id
        self._token = token
        self._renew = renew
        self._clock = clock
        self._rng = rng
        self._log = structlog.get_logger("agent").bind(session=session_id)

    async def report(self, status: RunnerStatus, seconds: float, more: JsonObject | None = None) -> None:
        """Report a status, trying again for `seconds`.

        A report whose answer was lost is made again: the platform then says 409 with this status, worker and claim,
        which is success. Raises `PlatformRefused` for a refusal that stands, else the last failure.
        """
        body: JsonObject = {"workerId": self._worker_id, "status": status, **(more or {})}
        if self._claim_id is not None:
            body["claimId"] = self._claim_id
        backoff = Backoff(self._rng)
        until = self._clock.monotonic() + seconds
        while True:
            try:
                await self._authorized(lambda token: self._client.session_status(self._session_id, token, body))
            except DonmaiError as error:
                if not worth_retrying(error):
                    raise
                delay = backoff.next(cap=_MAX_RETRY_SECONDS, retry_after=retry_after(error))
                if self._clock.monotonic() + delay > until:
                    raise
                self._log.warning(
                    "agent.report_waits", status=status, reason=error.message, retry_in=round(delay, 2)
                )
                await self._clock.sleep(delay)
            else:
                return

    async def refresh_lock(self) -> LockAnswer | None:
        """Renew the lease; None where that failed, for whatever reason."""
        try:
            return await self._authorized(
                lambda token: self._client.lock_refresh(self._session_id, token, self._worker_id, self._issue_id)
            )
        except DonmaiError as error:
            self._log.warning("agent.lock_not_refreshed", reason=error.message)
            return None

    async def _authorized(self, call: Callable[[Secret], Awaitable[T]]) -> T:
        expiry = jwt_expiry(self._token.reveal())
        if expiry is not None and expiry - self._clock.now() < _RENEW_AHEAD:
            await self._renew_quietly()
        try:
            return await call(self._token)
        except PlatformRefused as error:
            if error.status != 401 or not await self._renew_quietly():
                raise
            return await call(self._token)

    async def _renew_quietly(self) -> bool:
        """Whether there is another token now. The old one may still be good, so that not getting one is no failure yet."""
        try:
            token = await self._renew(self._token)
        except DonmaiError as error:
            self._log.info("agent.credential_not_renewed", reason=error.message)
            return False
        changed = token != self._token
        self._token = token
        return changed
