"""Ending a session's processes: all of them, and nobody else's."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import anyio

from donmai_daemon.sessions.processes import ProcessId, belonging, is_running, send, wait_ended

TERM_SECONDS = 20.0
"""How long a runner has after TERM to end its agent and report, before everything of the session is killed."""

How: TypeAlias = Literal["terminated", "killed"]

_ROUNDS = 100
_ROUND_SECONDS = 0.2
_LOOK_SECONDS = 0.01


def reason_file(log: Path) -> Path:
    """Beside a session's log: why it is ended, for its runner to report. Written before the TERM, by whoever sends it."""
    return log.with_suffix(".reason")


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
    ended = await kill_all(lambda: belonging(root, mark) - {root})
    return ended + await kill_all(lambda: belonging(root, mark))


async def kill_all(find: Callable[[], set[ProcessId]]) -> int:
    """KILL what `find` finds, until it finds nothing; returns how many processes that were.

    Bounded: a process that the kernel does not let die (uninterruptible I/O) is left to it after a while.
    """
    ended: set[ProcessId] = set()
    empty = 0
    for _ in range(_ROUNDS):
        left = find()
        # One look is not enough: in the middle of an exec a process shows no environment, and so no mark.
        empty = 0 if left else empty + 1
        if empty == 2:
            break
        for process in left:
            send(process, signal.SIGKILL)
        ended |= left
        # Gone when the kernel has got to it; the next look shows whom it left behind.
        with anyio.move_on_after(_ROUND_SECONDS):
            for process in left:
                await wait_ended(process)
        if not left:
            await anyio.sleep(_LOOK_SECONDS)
    return len(ended)
