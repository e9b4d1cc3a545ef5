"""Starts daemons that die where they are told to: the crash tests' own entry point, and the only way to the seam.

A process that has imported everything once and forks: each daemon is a real process that runs `run_daemon` from its
first line, without a second of imports. One JSON command a line on standard input:
`{"config", "state", "environ", "log", "point", "count"}` starts a daemon that kills itself (SIGKILL) at the `count`th
step called `point` (null: never), or with `"record"` writes the name of each step to that file. The answer is
`{"pid"}`, and at its end `{"pid", "status"}`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable

from donmai_daemon import compose
from donmai_daemon.compose.daemon import run_daemon
from donmai_daemon.settings import sections

assert sections.__doc__  # imported for its weight: it brings pydantic


def killer(point: str, count: int) -> Callable[[str], None]:
    left = count

    def step(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return step


def recorder(path: str) -> Callable[[str], None]:
    def step(name: str) -> None:
        with open(path, "a") as file:  # noqa: PTH123 - append one line
            file.write(name + "\n")

    return step


def live(command: dict[str, object]) -> int:
    environ = command["environ"]
    assert isinstance(environ, dict)
    log = os.open(str(command["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    options = compose.options(str(command["config"]), str(command["state"]), None, 0, environ)
    if command.get("record"):
        return run_daemon(options, recorder(str(command["record"])))
    if command["point"] is None:
        return run_daemon(options)
    return run_daemon(options, killer(str(command["point"]), int(str(command["count"]))))


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            code = 1
            try:
                code = live(command)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(code)
        say(pid=child)
        status = os.waitpid(child, 0)[1]
        say(pid=child, status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    assert threading.active_count() == 1  # a fork of a process with threads is no fresh process
    main()
