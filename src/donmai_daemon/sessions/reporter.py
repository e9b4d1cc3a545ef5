"""Telling the platform how a session ended, or that it was refused, until it knows."""

from __future__ import annotations

import random

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
        await self._insist(record, "status", body)

    async def refused(self, record: SessionRecord) -> None:
        """Return once the platform knows that the claim of `record` is given back."""
        body: JsonObject = {"workerId": record.worker_id, "reason": record.reason, "work": record.detail or None}
        if record.claim_id is not None:
            body["claimId"] = record.claim_id
        await self._insist(record, "nack", body)

    async def confirm(self, record: SessionRecord) -> None:
        """Tell once that the claim arrived. Not insisted upon: `running` confirms as well."""
        body: JsonObject = {"workerId": record.worker_id, "status": "claimed", "claimId": record.claim_id}
        try:
            await self._platform.status(record.session_id, body)
        except DonmaiError as error:
            self._log.info("session.claim_not_confirmed", session=record.session_id, reason=error.message)

    async def _insist(self, record: SessionRecord, what: str, body: JsonObject) -> None:
        backoff = Backoff(self._rng)
        send = self._platform.nack if what == "nack" else self._platform.status
        while True:
            try:
                await send(record.session_id, body)
            except PlatformRefused as error:
                if not _may_pass(error.status):
                    # 404: it knows no such session. 409: another worker's now, or ended some other way. Final as well.
                    self._log.warning(
                        "session.report_refused",
                        session=record.session_id,
                        what=what,
                        status=error.status,
                        reason=error.detail,
                    )
                    return
                delay = backoff.next(cap=_MAX_RETRY_SECONDS, retry_after=error.retry_after)
            except ParamsInvalid as error:
                self._log.error(
                    "session.report_impossible", session=record.session_id, what=what, reason=error.message
                )
                return
            except DonmaiError:
                delay = backoff.next(cap=_MAX_RETRY_SECONDS)
            else:
                return
            self._log.info("session.report_waits", session=record.session_id, what=what, retry_in=round(delay, 2))
            await self._clock.sleep(delay)


def _may_pass(status: int) -> bool:
    """Whether a refusal with this status may go away by itself. 401: the host's registration is being renewed."""
    return status >= 500 or status in {401, 408, 429}
