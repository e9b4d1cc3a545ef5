"""Waiting for whichever comes first."""

from __future__ import annotations

import anyio

from donmai_daemon.clock import Clock


async def wait_until(clock: Clock, deadline: float, event: anyio.Event) -> bool:
    """Wait until `clock.monotonic()` reaches `deadline` or `event` is set; True where it was the event."""
    remaining = deadline - clock.monotonic()
    if event.is_set():
        return True
    if remaining <= 0:
        return False
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await event.wait()
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await clock.sleep(remaining)
        group.cancel_scope.cancel()
    return event.is_set()
