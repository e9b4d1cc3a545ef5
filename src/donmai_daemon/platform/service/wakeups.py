"""Waking those who wait for news: within this process, and through it for every process that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


def host_topic(host_id: str) -> str:
    """News for one host: a mutation, or another status."""
    return f"host:{host_id}"


class Wakeups(Protocol):
    """Tells waiters to look again. A wake-up carries nothing: what is new is read from the store."""

    async def publish(self, topic: str) -> None:
        """Wake all who wait on `topic`, wherever they wait. Called after the commit that makes the news."""
        ...


class LocalWakeups:
    """Waiters of this process. A store that several processes serve from hands on what the others publish."""

    def __init__(self) -> None:
        self._waiters: dict[str, dict[asyncio.Event, None]] = {}

    async def publish(self, topic: str) -> None:
        self.wake(topic)

    def wake(self, topic: str) -> None:
        """Wake this process's waiters on `topic`."""
        for waiter in self._waiters.get(topic, ()):
            waiter.set()

    @contextmanager
    def waiting(self, event: asyncio.Event, *topics: str) -> Iterator[None]:
        """Let any of `topics` set `event`. Begin to wait before you look, and no news falls between."""
        for topic in topics:
            self._waiters.setdefault(topic, {})[event] = None
        try:
            yield
        finally:
            for topic in topics:
                waiters = self._waiters[topic]
                del waiters[event]
                if not waiters:
                    del self._waiters[topic]
