"""Being told what to do: by signals, by the control API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import anyio
import structlog

from donmai_daemon.model.status import LifecycleState
from donmai_daemon.runtime.applier import Applied
from donmai_daemon.runtime.lifecycle import Lifecycle

ExitCode: TypeAlias = Literal[0, 3]

RESTART_ME: ExitCode = 3
"""The exit code that asks the service manager to start the daemon again (RestartForceExitStatus)."""


class Steering:
    """Turns requests into lifecycle moves. `wanted` is set once the process should end, with `exit_code`."""

    def __init__(
        self, lifecycle: Lifecycle, refresh: Callable[[], Awaitable[Applied]], look_again: Callable[[], None]
    ) -> None:
        """`look_again` is called at each reload: what the platform refused may be tried again."""
        self._lifecycle = lifecycle
        self._refresh = refresh
        self._look_again = look_again
        self.wanted = anyio.Event()
        self.at_once = anyio.Event()
        self.exit_code: ExitCode = 0
        self._log = structlog.get_logger("daemon")

    @property
    def state(self) -> LifecycleState:
        return self._lifecycle.state

    async def reload(self) -> str:
        """Read the configuration now. Raises `ConfigInvalid` or `ConfigUnwritable` where it cannot be used."""
        self._look_again()
        applied = await self._refresh()
        if applied.problem is not None:
            raise applied.problem
        return "configuration read"

    async def pause(self) -> str:
        self._lifecycle.pause()
        return "paused: running sessions go on, new work is not taken"

    async def resume(self) -> str:
        self._lifecycle.resume()
        return "ready: taking work again"

    async def stop(self) -> str:
        """Begin an orderly stop. A second one while it is under way skips the waiting."""
        self._end(0)
        return "stopping"

    async def restart(self) -> str:
        """Begin an orderly stop that ends with exit code 3."""
        self._end(RESTART_ME)
        return "stopping, to be started again by the service manager"

    def signalled(self, name: str) -> None:
        """SIGTERM or SIGINT came."""
        self._log.info("daemon.signal", signal=name, second=self.wanted.is_set())
        self._end(self.exit_code)

    def _end(self, code: ExitCode) -> None:
        if self.wanted.is_set():
            self.at_once.set()
            return
        self.exit_code = code
        self._lifecycle.stop()
        self.wanted.set()
