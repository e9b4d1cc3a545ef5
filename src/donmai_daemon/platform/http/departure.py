"""The end of a client's connection, for those who work on its request meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Departure:
    """Of one connection. A task that waits for it would cost every held beat more memory than the rest of it."""

    __slots__ = ("_actions", "_happened")

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []
        self._happened = False

    @contextmanager
    def causing(self, action: Callable[[], None]) -> Iterator[None]:
        """Have `action` called when the client goes, or now where it has gone already."""
        self._actions.append(action)
        if self._happened:
            action()
        try:
            yield
        finally:
            self._actions.remove(action)

    def happened(self) -> None:
        """The connection is lost."""
        self._happened = True
        for action in [*self._actions]:
            action()
