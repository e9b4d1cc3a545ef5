"""When to beat, and what to do when it fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

import anyio
import structlog

from donmai_daemon.clock import Clock, rfc3339, wait_until
from donmai_daemon.errors import DonmaiError, JournalUnavailable, PlatformRefused
from donmai_daemon.link.client import PlatformClient
from donmai_daemon.link.identity import Credentials, Identity
from donmai_daemon.link.retry import Backoff, Bucket
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.mutation import MAX_ACKS_PER_BEAT
from donmai_daemon.model.status import BeatTrace
from donmai_daemon.model.wire import Beat, BeatAnswer
from donmai_daemon.runtime.beats import Received
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.store.atomic import Step, no_step

_SEND_DEADLINE = 5.0
_FAREWELL_DEADLINE = 1.0
_BUSY = {429, 503}
_MIN_INTERVAL, _MAX_INTERVAL = 1.0, 3600.0


class Desk(Protocol):
    """Who writes beats and reads their answers: `BeatDesk`."""

    async def compose(self, worker_id: str) -> Beat:
        """The next beat. Raises `JournalUnavailable`."""
        ...

    async def accepted(self, worker_id: str, beat: Beat, answer: BeatAnswer) -> Received:
        """Record an accepted answer; on disk when this returns. Raises `JournalUnavailable`."""
        ...


class Heartbeat:
    """One beat at a time: on the interval, early where something must be told now, late after failures.

    With a platform that holds beats, the next one goes out as soon as the last is answered and waits there; what must
    be told meanwhile cancels it. What a cancelled answer carried comes again, because it is not acked.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        client: PlatformClient,
        desk: Desk,
        clock: Clock,
        rng: random.Random,
        conditions: Conditions,
        configured_interval: Callable[[], float],
        on_answer: Callable[[BeatAnswer, Received], None],
        first_delay: float,
        step: Step = no_step,
    ) -> None:
        self._identity = identity
        self._client = client
        self._desk = desk
        self._clock = clock
        self._conditions = conditions
        self._configured_interval = configured_interval
        self._on_answer = on_answer
        self._step = step
        self._due = clock.monotonic() + first_delay
        self._not_before = 0.0
        self._backoff = Backoff(rng)
        self._bucket = Bucket(clock)
        self._nudge = anyio.Event()
        self._early = False
        self._sending: anyio.CancelScope | None = None
        self._held = False
        self._network_changed = False
        self._platform_holds = False
        self._failures = 0
        self._journal_failed = False
        self._running = False
        self._last_sent_at: str | None = None
        self._last_accepted_at: str | None = None
        self._accepted_at: float | None = None
        self._last_error: str | None = None
        self._last_body: JsonObject | None = None
        self._last_answer: JsonObject | None = None
        self._log = structlog.get_logger("heartbeat")

    @property
    def interval(self) -> float:
        """Seconds between beats: the platform's value, else the configured one."""
        wanted = self._identity.heartbeat_interval or self._configured_interval()
        return min(max(wanted, _MIN_INTERVAL), _MAX_INTERVAL)

    def tell_now(self) -> None:
        """Something must be told before the next regular beat (fresh acks, a new state, another admission).

        While beats fail this changes nothing: the next try tells it.
        """
        self._early = True
        self._nudge.set()
        if self._sending is not None and self._held:
            self._sending.cancel()

    async def network_changed(self) -> None:
        """The machine has another way out. A beat in flight waits on the old one: it is cancelled and sent again.

        Without one in flight this is `try_again`: a beat that is not late is not sent early. No beat goes into a
        connection that was opened over the old network and would swallow it until its deadline.
        """
        self._network_changed = True
        if self._sending is not None:
            self._sending.cancel()
        await self._client.reconnect()
        self.try_again()

    def try_again(self) -> None:
        """What made beats fail may be mended: do not wait for the next try. A platform that is busy is still spared."""
        if self._failures:
            self._due = self._clock.monotonic()
            self._nudge.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        self._running = True
        try:
            while True:
                await self._wait()
                await self._attempt(wait=self._hold_seconds())
        finally:
            self._running = False

    async def farewell(self) -> None:
        """One last beat, bounded, so that the platform stops dispatching here. Failure is fine: it will find out."""
        if self._identity.worker_id is None or self._failures:
            return
        with anyio.move_on_after(_FAREWELL_DEADLINE):
            await self._attempt(wait=None)

    def trace(self) -> BeatTrace:
        accepted = self._accepted_at
        fresh = accepted is not None and self._clock.monotonic() - accepted <= 3 * self.interval
        return BeatTrace(
            interval_seconds=self.interval,
            last_sent_at=self._last_sent_at,
            last_accepted_at=self._last_accepted_at,
            last_error=self._last_error,
            consecutive_failures=self._failures,
            running=self._running,
            ready=fresh and self._identity.worker_id is not None,
            last_body=self._last_body,
            last_answer=self._last_answer,
        )

    async def _wait(self) -> None:
        while True:
            due = self._due
            if self._early and not self._failures:
                due = min(due, self._clock.monotonic() + self._bucket.delay())
            if not await wait_until(self._clock, max(due, self._not_before), self._nudge):
                break
            self._nudge = anyio.Event()
        if self._early and self._clock.monotonic() < self._due:
            self._bucket.take()
        self._early = False

    def _hold_seconds(self) -> float | None:
        return self.interval if self._platform_holds and not self._failures else None

    async def _attempt(self, wait: float | None) -> None:
        self._network_changed = False
        try:
            credentials = await self._identity.current()
            try:
                await self._beat(credentials, wait)
            except PlatformRefused as error:
                if error.status not in {401, 404}:
                    raise
                # Not evidence that the registration is gone: the token may simply have run out.
                await self._beat(await self._identity.renew(credentials), wait=None)
        except DonmaiError as error:
            self._failed(error)

    async def _beat(self, credentials: Credentials, wait: float | None) -> None:
        beat = await self._desk.compose(credentials.worker_id)
        body = beat.to_json()
        self._last_body = body
        self._last_sent_at = rfc3339(self._clock.now())
        self._step("beat.composed")
        # Something to tell may have come up while the beat was composed: it must not wait behind a beat without it.
        hold = wait if not beat.acks and not beat.full_report and not self._early else None
        started = self._clock.monotonic()
        with anyio.CancelScope() as scope:
            self._sending, self._held = scope, hold is not None
            try:
                answer = await self._client.heartbeat(
                    credentials.worker_id, credentials.runtime_token, body, wait=hold, timeout=_SEND_DEADLINE
                )
            finally:
                self._sending = None
        if scope.cancelled_caught:
            # Where tell_now cancelled, it asked for the next one already.
            self._due = self._clock.monotonic() + (0 if self._network_changed else self.interval)
            return
        received = await self._desk.accepted(credentials.worker_id, beat, answer)
        self._accepted(len(beat.acks), answer, received, held_for=self._clock.monotonic() - started)

    def _accepted(self, acks: int, answer: BeatAnswer, received: Received, held_for: float) -> None:
        now = self._clock.monotonic()
        self._failures = 0
        self._backoff.reset()
        self._not_before = 0.0
        self._accepted_at = now
        self._last_accepted_at = rfc3339(self._clock.now())
        self._last_error = None
        self._last_answer = {
            "serverTime": answer.server_time,
            "hostStatus": answer.host_status.to_json() if answer.host_status else None,
            "pendingMutations": len(answer.mutations),
            "pendingWorkCount": answer.pending_work_count,
            "heldBeats": answer.held_beats,
        }
        self._conditions.clear("platform_unreachable")
        if self._journal_failed:
            self._journal_failed = False
            self._conditions.clear("disk_full")  # the applier raises it again where its own disk is full
        self._platform_holds = answer.held_beats
        # From the time it was sent. A platform that stood still answers everything that waited at one moment; counted from
        # the answer, all those machines would beat at one moment again, interval after interval.
        self._due = now + max(self.interval - held_for, 0.0)
        if self._platform_holds:
            # A platform that says it holds beats and does not must not be asked in a circle.
            brought = bool(received.new_ids) or held_for >= self.interval / 2
            self._due = now if brought else now + self._bucket.delay()
            if not brought:
                self._bucket.take()
        if acks == MAX_ACKS_PER_BEAT and received.counts.unsent:
            self._due = now  # a full page was accepted, and there is more
        self._log.info(
            "beat.accepted",
            acks=acks,
            mutations=len(answer.mutations),
            new=len(received.new_ids),
            held_seconds=round(held_for, 3),
        )
        self._on_answer(answer, received)

    def _failed(self, error: DonmaiError) -> None:
        self._failures += 1
        retry_after = error.retry_after if isinstance(error, PlatformRefused) else None
        delay = self._backoff.next(cap=4 * self.interval, retry_after=retry_after)
        now = self._clock.monotonic()
        self._due = now if self._network_changed else now + delay
        busy = isinstance(error, PlatformRefused) and error.status in _BUSY
        self._not_before = now + retry_after if busy and retry_after is not None else 0.0
        self._last_error = error.message
        if isinstance(error, JournalUnavailable):
            self._journal_failed = True
            self._conditions.set("disk_full", "error", error.message)
        else:
            self._conditions.set("platform_unreachable", "error", error.message)
        self._log.warning(
            "beat.failed", reason=error.message, code=error.code, failures=self._failures, retry_in=round(delay, 2)
        )
