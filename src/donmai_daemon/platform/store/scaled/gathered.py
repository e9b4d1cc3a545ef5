"""Asking a server once for many, where each asks for one: what a question costs does not depend on how much it asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from donmai_daemon.platform.conditions import StoreUnavailable

K = TypeVar("K")
V = TypeVar("V")

_MOST_AT_ONCE = 128


class Gathered(Generic[K, V]):
    """Those who ask while a question is under way share the next one; where nobody else asks, nobody is waited for.

    `ask` answers keys in their order. What it raises, all who shared the question get. An answer is never older than the
    call that it is for.
    """

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def one(self, key: K) -> V:
        """The answer for `key`. Raises what `ask` raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V] = loop.create_future()
        self._waiting.append((key, answer))
        if self._asking is None:
            # A task of its own: a caller that is cancelled must not take the others' answer along. It ends by itself.
            self._asking = loop.create_task(self._ask_for_those_who_wait())
        return await answer

    async def _ask_for_those_who_wait(self) -> None:
        try:
            while self._waiting:
                shared, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                await self._answer(shared)
        finally:
            self._asking = None

    async def _answer(self, shared: list[tuple[K, asyncio.Future[V]]]) -> None:
        try:
            answered = [*zip(shared, await self._ask([key for key, _ in shared]), strict=True)]
        except Exception as error:  # noqa: BLE001 - it is the callers', and is raised there
            for _, answer in shared:
                if not answer.done():
                    answer.set_exception(_again(error))
            return
        for (_, answer), value in answered:
            if not answer.done():
                answer.set_result(value)


def _again(error: Exception) -> Exception:
    """The same for each of several callers: one exception raised in many places would carry the traceback of them all."""
    if not isinstance(error, StoreUnavailable):
        return error
    again = StoreUnavailable(error.cause)
    again.__cause__ = error.__cause__
    return again
