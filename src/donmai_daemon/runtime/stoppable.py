"""Tasks that end before their group does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


class Stoppable:
    """Start `run` in a task group; `stop` cancels it and returns when it has ended. Stopping twice is fine."""

    def __init__(self, task: Callable[[], Awaitable[None]]) -> None:
        self._task = task
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(self) -> None:
        try:
            with self._scope:
                await self._task()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._scope.cancel()
        await self._ended.wait()


async def unless(event: anyio.Event, task: Callable[[], Awaitable[None]]) -> None:
    """Run `task`, and cancel it when `event` is set."""
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await event.wait()
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await task()
        group.cancel_scope.cancel()
