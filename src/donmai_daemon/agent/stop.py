"""One reason to stop, whoever gives it first, and the work that it interrupts."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal, TypeAlias, TypeVar

import anyio

T = TypeVar("T")

StopOutcome: TypeAlias = Literal["stopped", "failed"]


class Stop:
    """Asked once; later reasons change nothing. Work done by `unless_asked` is cancelled then."""

    def __init__(self) -> None:
        self.outcome: StopOutcome | None = None
        self.reason = ""
        self._asked = anyio.Event()
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def asked(self) -> bool:
        return self.outcome is not None

    def ask(self, outcome: StopOutcome, reason: str) -> None:
        """`outcome` is what the session is reported as."""
        if self.outcome is None:
            self.outcome = outcome
            self.reason = reason
            self._asked.set()
            for scope in self._scopes:
                scope.cancel()

    async def wait(self) -> None:
        """Until a stop is asked."""
        await self._asked.wait()

    async def unless_asked(self, work: Awaitable[T]) -> T | None:
        """Do `work`, which is cancelled when a stop is asked (at once where one was); None where that cut it short."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if self.asked:
                    scope.cancel()
                return await work
            finally:
                self._scopes.discard(scope)
        return None
