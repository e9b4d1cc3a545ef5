"""Waking those who wait for news: within this process, and through it for every process that serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol, TypeAlias


def host_topic(host_id: str) -> str:
    """News for one host: a mutation, or another status."""
    return f"host:{host_id}"


WORK = "work:"


def work_topic(org_id: str) -> str:
    """Something new in an organisation's queue."""
    return f"{WORK}{org_id}"


class Wakeups(Protocol):
    """Tells waiters to look again. A wake-up carries nothing: what is new is read from the store."""

    async def publish(self, topic: str, most: int | None = None) -> None:
        """Wake those who wait on `topic`, or `most` of them in each process. Called after the commit of the news."""
        ...


Waiter: TypeAlias = Callable[[str], None]
"""Called with the topic."""


class LocalWakeups:
    """Waiters of this process. A store that several processes serve from hands on what the others publish."""

    def __init__(self) -> None:
        self._waiters: dict[str, dict[Waiter, None]] = {}

    async def publish(self, topic: str, most: int | None = None) -> None:
        self.wake(topic, most)

    def wake(self, topic: str, most: int | None = None) -> None:
        """Wake this process's waiters on `topic`; where only `most` of them, those that have waited longest."""
        for waiter in list(islice(self._waiters.get(topic, ()), most)):
            waiter(topic)

    def wake_all(self) -> None:
        """Wake every waiter: any news may have been missed."""
        for topic in list(self._waiters):
            self.wake(topic)

    @contextmanager
    def waiting(self, waiter: Waiter, topics: Sequence[str]) -> Iterator[None]:
        """Have `waiter` called for any of `topics`. Begin to wait before you look, and no news falls between."""
        for topic in topics:
            self._waiters.setdefault(topic, {})[waiter] = None
        try:
            yield
        finally:
            for topic in topics:
                waiters = self._waiters[topic]
                del waiters[waiter]
                if not waiters:
                    del self._waiters[topic]
