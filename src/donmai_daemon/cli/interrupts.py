"""Signals as something to wait for, beside time and the end of a child."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Asked(Exception):  # noqa: N818 - conditions are named as conditions
    """This process was asked to end."""


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP are counted instead of ending the process, and SIGCHLD wakes `wait`.

    A signal that was ignored when the process started (nohup, a background job) stays ignored. Main thread only.
    """

    def __init__(self) -> None:
        self.asked = 0
        """How often this process was asked to end."""

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._reader, writer = socket.socketpair()
        for end in (self._reader, writer):
            end.setblocking(False)
            self._stack.enter_context(end)
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._stack.callback(signal.set_wakeup_fd, previous)
        for number in (*_ENDING, signal.SIGCHLD):
            before = signal.getsignal(number)
            if number in _ENDING and before is signal.SIG_IGN:
                continue
            signal.signal(number, self._count if number in _ENDING else _nothing)
            self._stack.callback(signal.signal, number, before)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as a signal came in."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            with contextlib.suppress(BlockingIOError):
                while self._reader.recv(4096):
                    pass

    def pause(self, seconds: float) -> None:
        """Wait; raises `Asked` where this process was asked to end, before or meanwhile."""
        self.wait(0 if self.asked else seconds)
        if self.asked:
            raise Asked

    def wait_until(self, done: Callable[[], bool], seconds: float, *, give_up_after: int) -> bool:
        """Whether `done()` held within `seconds`; it is asked again after every signal, so it suits the end of a child.

        Being asked to end more than `give_up_after` times in all cuts the wait short.
        """
        deadline = time.monotonic() + seconds
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self.asked > give_up_after:
                return False
            self.wait(remaining)
        return True

    def _count(self, number: int, _frame: FrameType | None) -> None:
        # A terminal that closes may say so twice, by its kernel and by its shell; that is no sign of impatience.
        if number != signal.SIGHUP or self.asked == 0:
            self.asked += 1


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD needs a handler for the wake-up to be written; there is nothing else to do."""
