"""Draining on request: no new work, wait for what runs, end what is left; `resume` turns it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import structlog

from donmai_daemon.runtime.lifecycle import Lifecycle


class RunningSessions(Protocol):
    """What a drain waits for."""

    @property
    def active_count(self) -> int: ...

    async def drain(self, seconds: float) -> int:
        """Wait up to `seconds`, then end what runs; how many had to be ended."""
        ...


class Drain:
    """`default_seconds` is asked when a request names no timeout. Give it a task (`run`)."""

    def __init__(
        self, lifecycle: Lifecycle, sessions: RunningSessions, default_seconds: Callable[[], float]
    ) -> None:
        self._lifecycle = lifecycle
        self._sessions = sessions
        self._default_seconds = default_seconds
        self._seconds = 0.0
        self._wanted = anyio.Event()
        self._waiting: anyio.CancelScope | None = None
        self._log = structlog.get_logger("daemon")

    async def begin(self, seconds: float | None) -> str:
        """Take no more work, and return. Raises `WrongState`."""
        self._lifecycle.drain()
        self._seconds = self._default_seconds() if seconds is None else seconds
        self._wanted.set()
        running = self._sessions.active_count
        if not running:
            return "draining"
        sessions = "1 session" if running == 1 else f"{running} sessions"
        return f"draining: {sessions} may end within {self._seconds:g} s, what then still runs is ended"

    def look_again(self) -> None:
        """The lifecycle has moved on; a drain that was called off must not end anything later."""
        if self._lifecycle.state != "draining" and self._waiting is not None:
            self._waiting.cancel()

    async def run(self) -> None:
        """Carry out drains until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            with anyio.CancelScope() as self._waiting:
                ended = await self._sessions.drain(self._seconds)
                self._log.info("daemon.drained", ended=ended)
            self._waiting = None
