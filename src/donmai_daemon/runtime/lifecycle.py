"""What the daemon is doing with itself: starting, ready, paused, draining, stopped."""

from __future__ import annotations

from collections.abc import Callable

from donmai_daemon.errors import WrongState
from donmai_daemon.model.status import LifecycleState


class Lifecycle:
    """Legal moves only. `on_change` is called after each, because the platform must hear of it at once."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._state: LifecycleState = "starting"
        self._stopping = False

    @property
    def state(self) -> LifecycleState:
        return self._state

    @property
    def accepting(self) -> bool:
        """Whether new work may begin."""
        return self._state == "ready"

    @property
    def stopping(self) -> bool:
        """Whether the process is on its way out, and nothing turns it back."""
        return self._stopping

    def started(self) -> None:
        """starting → ready."""
        self._move({"starting"}, "ready", "finish starting")

    def pause(self) -> None:
        """ready → paused: running work goes on, none begins."""
        self._move({"ready"}, "paused", "pause")

    def resume(self) -> None:
        """paused or draining → ready."""
        if self._stopping:
            raise WrongState("cannot resume: the daemon is stopping")
        self._move({"paused", "draining"}, "ready", "resume")

    def drain(self) -> None:
        """ready or paused → draining: as paused, and somebody waits for the work to end."""
        self._move({"ready", "paused"}, "draining", "drain")

    def stop(self) -> None:
        """Any state → draining for good. Doing it twice is fine."""
        if not self._stopping:
            self._stopping = True
            self._state = "draining"
            self._on_change()

    def stopped(self) -> None:
        self._stopping = True
        self._state = "stopped"

    def _move(self, allowed: set[LifecycleState], to: LifecycleState, verb: str) -> None:
        if self._state not in allowed:
            raise WrongState(f"cannot {verb}: the daemon is {self._state}")
        self._state = to
        self._on_change()
