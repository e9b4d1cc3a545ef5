"""Asking for work: only when this host could begin it, because the answer is the claim."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import structlog

from donmai_daemon.clock import Clock, wait_until
from donmai_daemon.errors import DonmaiError, PlatformAnswerInvalid, PlatformRefused
from donmai_daemon.link.retry import Backoff
from donmai_daemon.model.json import JsonObject
from donmai_daemon.sessions.work import PollAnswer, read_poll_answer

DEFAULT_INTERVAL = 5.0
_MAX_RETRY_SECONDS = 60.0


class Poller:
    """Polls on the interval while `may_poll`; at once when told that work waits, and when `may_poll` comes true.

    `claim` is one poll, `take` starts or gives back everything it brought. A poll that is cancelled loses its answer;
    the platform queues again what it does not hear of.
    """

    def __init__(
        self,
        *,
        claim: Callable[[], Awaitable[JsonObject]],
        take: Callable[[PollAnswer], Awaitable[None]],
        may_poll: Callable[[], bool],
        interval: Callable[[], float],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._claim = claim
        self._take = take
        self._may_poll = may_poll
        self._interval = interval
        self._clock = clock
        self._backoff = Backoff(rng)
        self._due = clock.monotonic()
        self._not_before = 0.0
        self._could = False
        self._changed = anyio.Event()
        self.running = False
        self._log = structlog.get_logger("poller")

    def look_again(self) -> None:
        """What `may_poll` depends on has changed."""
        self._look()
        self._changed.set()

    def work_waits(self) -> None:
        """The platform says that there is work: ask now (after a failure: when its wait is over)."""
        self._due = self._clock.monotonic()
        self._changed.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        self.running = True
        try:
            while True:
                await self._wait()
                await self._poll()
        finally:
            self.running = False

    async def _wait(self) -> None:
        while True:
            due = max(self._due, self._not_before) if self._look() else None
            if not await wait_until(self._clock, due, self._changed):
                return
            self._changed = anyio.Event()

    def _look(self) -> bool:
        """May a poll be made? A place that has come free is offered now, not an interval later: work may wait for it."""
        could, self._could = self._could, self._may_poll()
        if self._could and not could:
            self._due = self._clock.monotonic()
        return self._could

    async def _poll(self) -> None:
        try:
            answer = read_poll_answer(await self._claim())
            if isinstance(answer, str):
                raise PlatformAnswerInvalid(f"the platform's {answer}")
        except DonmaiError as error:
            retry_after = error.retry_after if isinstance(error, PlatformRefused) else None
            delay = self._backoff.next(cap=_MAX_RETRY_SECONDS, retry_after=retry_after)
            self._due = self._not_before = self._clock.monotonic() + max(delay, self._interval())
            self._log.warning("poll.failed", reason=error.message, code=error.code, retry_in=round(delay, 2))
            return
        self._backoff.reset()
        self._due = self._clock.monotonic() + self._interval()
        self._not_before = 0.0
        if answer.ignored:
            self._log.warning("poll.ignored", what=answer.ignored[:16], count=len(answer.ignored))
        if answer.inbox_messages:
            self._log.warning("poll.inbox_ignored", count=answer.inbox_messages)
        if answer.items or answer.unusable or answer.claimed_elsewhere:
            self._log.info("poll.claimed", items=len(answer.items), unusable=len(answer.unusable))
            await self._take(answer)
