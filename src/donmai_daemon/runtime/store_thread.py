"""The one thread that touches the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
from anyio import to_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class StoreThread:
    """Runs blocking store calls one at a time, in the order asked for.

    A call that has begun is always waited for, also when its caller is cancelled: a commit must not land after
    whoever made it has gone (measured with anyio 4.16: `abandon_on_cancel=True` lets it).
    """

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)

    async def run(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        return await to_thread.run_sync(function, *args, abandon_on_cancel=False, limiter=self._limiter)
