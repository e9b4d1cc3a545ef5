"""A program that runs for us, writes to a log file, and never outlives us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from donmai_daemon.cli.logs import last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from donmai_daemon.cli.interrupts import Interrupts

_PR_SET_PDEATHSIG = 1


class Child:
    """One child process in a session of its own, so that Ctrl-C at the terminal reaches us alone and we end it in order.

    On Linux the kernel sends it SIGTERM when this process dies, however that happens.
    """

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path, inherits: Sequence[int] = ()
    ) -> None:
        """Start `command`. `name` is for people; `log` is begun anew, mode 0600; `inherits` are descriptors that it keeps
        open. Raises `OSError`."""
        self.name = name
        self.log = log
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=dict(environ),
                pass_fds=inherits,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def last_lines(self, count: int) -> list[str]:
        """The end of what it wrote."""
        with self.log.open("rb") as log:
            return last_lines(log, count)

    def end(self, interrupts: Interrupts, seconds: float, *, give_up_after: int) -> None:
        """SIGTERM, then after `seconds`, or where we are asked to hurry, SIGKILL. Returns when it is gone."""
        if self.exit_code is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        if not interrupts.wait_until(lambda: self.exit_code is not None, seconds, give_up_after=give_up_after):
            self._process.kill()
            self._process.wait()


def how_it_ended(exit_code: int) -> str:
    """`exit code 1`, `killed by SIGKILL`."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


def die_with_parent() -> Callable[[], None] | None:
    """What runs in the child between fork and exec: ask for SIGTERM at the parent's death.

    1. we fork; 2. we are killed; 3. the child asks to be told of a death that has happened already. So it looks at
    its parent after asking.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return arrange
