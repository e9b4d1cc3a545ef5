"""A callback that can be wired up later than it is handed out."""

from __future__ import annotations

from collections.abc import Callable


class Notice:
    """Call it, and everybody who was added is called, in order."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def add(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def __call__(self) -> None:
        for listener in self._listeners:
            listener()
