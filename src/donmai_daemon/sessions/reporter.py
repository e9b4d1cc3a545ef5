"""Telling the platform how a session ended, or that it was refused, until it knows."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.errors import DonmaiError, ParamsInvalid, PlatformRefused
from donmai_daemon.link.retry import Backoff
from donmai_daemon.model.json import JsonObject
from donmai_daemon.sessions.platform_port import PlatformPort
from donmai_daemon.sessions.record import SessionRecord

_MAX_RETRY_SECONDS = 60.0


class Reporter:
    """Stateless between calls: what is still to be told is in the records, and is told again after a restart.

    Telling twice is harmless. A status the session already has is answered 409 with our own worker and claim, which
    counts as told; a claim given back twice is not ours the second time.
    """

    def __init__(self, platform: PlatformPort, clock: Clock, rng: random.Random) -> None:
        self._platform = platform
        self._clock = clock
        self._rng = rng
        self._log = structlog.get_logger("sessions.reporter")

    async def ended(self, record: SessionRecord) -> None:
        """Return once the platform knows the end of `record`, or has said that it will not take it."""
        body: JsonObject = {"workerId": record.worker_id, "status": record.outcome}
        if record.claim_id is not None:
            body["claimId"] = record.claim_id
        if record.exit_code is not None:
            body["exitCode"] = record.exit_code
        if record.error is not None:
            body["error"] = record.error
        self._note(record, "status", await self._insist(record, self._platform.status, body))

    async def refused(self, record: SessionRecord) -> None:
        """Return once the platform knows that the claim of `record` is given back."""
        body: JsonObject = {"workerId": record.worker_id, "reason": record.reason, "work": record.detail or None}
        if record.claim_id is not None:
            body["claimId"] = record.claim_id
        self._note(record, "nack", await self._insist(record, self._platform.nack, body))

    async def confirm(self, record: SessionRecord) -> None:
        """Return once the platform knows that the claim arrived, so that it does not lapse while the runner clones.

        Refused, it is known already: the runner was quicker with `running`. Or it is ours no more: the runner will be told.
        """
        body: JsonObject = {"workerId": record.worker_id, "status": "claimed", "claimId": record.claim_id}
        await self._insist(record, self._platform.status, body)

    async def _insist(
        self, record: SessionRecord, send: Callable[[str, JsonObject], Awaitable[None]], body: JsonObject
    ) -> DonmaiError | None:
        """Try until it is told (None) or refused for good (why)."""
        backoff = Backoff(self._rng)
        while True:
            retry_after = None
            try:
                await send(record.session_id, body)
            except ParamsInvalid as error:
                return error
            except PlatformRefused as error:
                if not _may_pass(error.status):
                    return error
                retry_after = error.retry_after
            except DonmaiError:
                pass
            else:
                return None
            delay = backoff.next(cap=_MAX_RETRY_SECONDS, retry_after=retry_after)
            self._log.info("session.report_waits", session=record.session_id, retry_in=round(delay, 2))
            await self._clock.sleep(delay)

    def _note(self, record: SessionRecord, what: str, refused: DonmaiError | None) -> None:
        """404: the platform knows no such session. 409: another worker's by now, or ended some other way. Final as well."""
        if refused is not None:
            self._log.warning(
                "session.report_refused", session=record.session_id, what=what, reason=refused.message
            )


def _may_pass(status: int) -> bool:
    """Whether a refusal with this status may go away by itself. 401: the host's registration is being renewed."""
    return status >= 500 or status in {401, 408, 429}
