"""Wake-ups across processes: published on Redis, and heard by every process that serves."""

from __future__ import annotations

import contextlib

import anyio
import structlog
from anyio.abc import TaskStatus

from donmai_daemon.clock import Clock
from donmai_daemon.platform.conditions import StoreUnavailable
from donmai_daemon.platform.store.scaled.redis_client import RedisClient
from donmai_daemon.platform.wakeups import LocalWakeups

_AGAIN_SECONDS = 0.5


class RedisWakeups:
    """Implements `Wakeups` for a process that does not serve."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._channel = _channel(redis)

    async def publish(self, topic: str, most: int | None = None) -> None:
        # The news is committed already, so a wake-up that is lost is no failure: the next look finds it.
        try:
            await self._redis.do("PUBLISH", self._channel, f"{most or 0} {topic}")
        except StoreUnavailable as error:
            structlog.get_logger("platform.store").warning("wakeup.not_published", reason=error.cause)


class SharedWakeups(LocalWakeups):
    """Waiters of this process, woken by what any process publishes, this one included."""

    def __init__(self, redis: RedisClient) -> None:
        super().__init__()
        self._redis = redis
        self._channel = _channel(redis)
        self._log = structlog.get_logger("platform.store")

    async def publish(self, topic: str, most: int | None = None) -> None:
        try:
            await self._redis.do("PUBLISH", self._channel, f"{most or 0} {topic}")
        except StoreUnavailable as error:
            self._log.warning("wakeup.not_published", reason=error.cause)
            self.wake(topic, most)  # at least those who wait here

    async def listen_for_ever(
        self, clock: Clock, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Hear what is published until cancelled. Started once the first subscription stands."""
        subscribed = False

        def on_message(message: str | None) -> None:
            nonlocal subscribed
            if message is not None:
                most, _, topic = message.partition(" ")
                with contextlib.suppress(ValueError):  # not one of ours
                    self.wake(topic, int(most) or None)
            elif subscribed:
                self.wake_all()  # whatever was published while nobody listened
            else:
                subscribed = True
                task_status.started()

        while True:
            try:
                await self._redis.hear(self._channel, on_message)
            except StoreUnavailable as error:
                self._log.warning("wakeups.not_heard", reason=error.cause)
            await clock.sleep(_AGAIN_SECONDS)


def _channel(redis: RedisClient) -> str:
    return f"wakeups:{redis.database}"
