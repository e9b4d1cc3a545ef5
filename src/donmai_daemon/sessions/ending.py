"""Ending a session's processes: all of them, and nobody else's."""

from __future__ import annotations

import signal
from typing import Literal, TypeAlias

import anyio

from donmai_daemon.sessions.processes import ProcessId, belonging, is_running, send, wait_ended

TERM_SECONDS = 20.0
"""How long a runner has after TERM to end its agent and report, before everything of the session is killed."""

How: TypeAlias = Literal["terminated", "killed"]

_ROUNDS = 100
_ROUND_SECONDS = 0.02


async def end(root: ProcessId, mark: str, grace: float = TERM_SECONDS) -> How:
    """TERM to the session's runner alone, which knows how to end its agent in good order; KILL to all after `grace` seconds.

    Returns when nothing of the session runs any more.
    """
    send(root, signal.SIGTERM)
    with anyio.move_on_after(grace):
        await wait_ended(root)
    how: How = "killed" if is_running(root) else "terminated"
    await sweep(root, mark)
    return how


async def sweep(root: ProcessId | None, mark: str) -> int:
    """KILL whatever is left of a session, its runner last; returns how many processes that were.

    The runner stays until then because orphans are handed to it (it is their subreaper): while it lives, whatever its
    descendants do to get away (fork, setsid, a cleared environment), they stay its descendants.
    """
    ended: set[ProcessId] = set()
    for last in (False, True):
        for _ in range(_ROUNDS):
            left = {process for process in belonging(root, mark) if last or process != root}
            if not left:
                break
            for process in left:
                send(process, signal.SIGKILL)
            ended |= left
            # A killed process is gone when the kernel has got to it; a new scan then shows whom it left behind.
            with anyio.move_on_after(_ROUND_SECONDS * 10):
                for process in left:
                    await wait_ended(process)
        if root is None:
            break
    return len(ended)
