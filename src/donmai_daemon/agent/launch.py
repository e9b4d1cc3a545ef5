"""Becomes the agent: run as a program, `launch.py PARENT_PID COMMAND…`, replaced by the command.

A parent-death signal has to be asked for by the child itself, between fork and exec. Doing that in Python after a
fork is not safe beside threads, so this small program does it after one exec and before the next. It imports nothing
of ours and is run with `-I -S`, which starts in a few milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
NOT_FOUND = 127
NOT_EXECUTABLE = 126


def main(arguments: list[str]) -> int:
    """Returns only where the command cannot be run; then as shells do: 127 not found, 126 not executable."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return 1  # it died before it could be listened for
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and what is ignored stays so across an exec
    try:
        os.execvp(command[0], command)  # noqa: S606 - the machine owner's own command, as a list
    except FileNotFoundError:
        print(f"agent command not found: {command[0]}", file=sys.stderr)
        return NOT_FOUND
    except OSError as error:
        print(f"agent command cannot be run: {command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_EXECUTABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
