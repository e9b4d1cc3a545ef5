"""One child program under supervision: started, its output relayed, its end awaited, all of it ended when it must."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import anyio

from donmai_daemon.agent import launch
from donmai_daemon.sessions.ending import kill_all
from donmai_daemon.sessions.processes import (
    ProcessId,
    belonging,
    descendants,
    identify_child,
    is_running,
    wait_ended,
)

TERM_SECONDS = 10.0
"""How long a program has after TERM before everything it started is killed."""

_CHUNK = 65536
_DRAIN_SECONDS = 1.0
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class Program:
    """Runs in a session of its own and dies with this process (Linux). One at a time: what it leaves behind is found
    among all descendants of this process. To be started from the main thread, because a parent-death signal follows
    the thread that started the child.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        python: str,
        mark: str,
        cwd: Path,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
        stdin: int = subprocess.DEVNULL,
        term_seconds: float = TERM_SECONDS,
    ) -> None:
        """Start `command`. `python` is the interpreter for the launcher, `stdin` a descriptor to read from.

        A command that cannot be run ends with 127 or 126 and says so. Raises `OSError` where the launcher cannot start.
        """
        self._mark = mark
        self._term_seconds = term_seconds
        reader, writer = os.pipe()
        try:
            self._child = subprocess.Popen(
                [python, "-I", "-S", launch.__file__, str(os.getpid()), *command],
                cwd=cwd,
                env=dict(environment),
                stdin=stdin,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        self._output = reader
        self._at_end = anyio.Event()
        self.id: ProcessId = identify_child(self._child.pid)

    async def run(self, relay: Callable[[bytes], None]) -> int:
        """Pass output to `relay` until the program ends; the exit code, negative for a signal.

        Whatever it leaves running is killed. Cancelled: TERM, a while of patience, KILL of everything; only then is
        the cancellation passed on.
        """
        relaying = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as group:
            group.start_soon(self._relay, relay, relaying)
            try:
                await wait_ended(self.id)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end()
                    with anyio.move_on_after(_DRAIN_SECONDS):
                        await self._at_end.wait()
                relaying.cancel()
        return self._child.returncode

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal, None before its end."""
        return self._child.returncode

    async def _end(self) -> None:
        if is_running(self.id):
            os.killpg(self.id.pid, signal.SIGTERM)  # ours and not yet reaped, so the number is nobody else's
            with anyio.move_on_after(self._term_seconds):
                await wait_ended(self.id)
        await kill_all(self._left)
        self._child.wait()

    def _left(self) -> set[ProcessId]:
        # As a subreaper (Linux) this process gets every orphan, so its descendants are everything there is.
        left = descendants(os.getpid())
        return left if sys.platform == "linux" else left | belonging(self.id, self._mark)

    async def _relay(self, relay: Callable[[bytes], None], scope: anyio.CancelScope) -> None:
        try:
            with scope:
                while True:
                    await anyio.wait_readable(self._output)
                    try:
                        chunk = os.read(self._output, _CHUNK)
                    except BlockingIOError:
                        continue
                    if not chunk:
                        break
                    relay(chunk)
        finally:
            os.close(self._output)
            self._at_end.set()
