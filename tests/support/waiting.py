"""Waiting for what no event tells of: the state of another process, of a server, of the kernel's tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

PATIENCE = 30.0
_T = TypeVar("_T")


def eventually(
    look: Callable[[], _T | None],
    seconds: float = PATIENCE,
    *,
    every: float = 0.02,
    said: Callable[[], str] = str,
) -> _T:
    """The first true thing that `look` finds. A request that fails has found nothing.

    Raises AssertionError after `seconds`, with what was found last and what `said` has to say about it.
    """
    deadline = time.monotonic() + seconds
    while True:
        found: object = None
        try:
            result = look()
        except httpx.TransportError as error:
            found = error
        else:
            if result:
                return result
            found = result
        assert time.monotonic() < deadline, f"not within {seconds:g} s; last seen: {found!r}\n{said()}"
        time.sleep(every)  # nothing tells: it has to be asked again
