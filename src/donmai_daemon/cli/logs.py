"""`donmai host logs`: the end of the log file, and what is written to it next."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, BinaryIO

from donmai_daemon import paths
from donmai_daemon.cli.endpoints import home
from donmai_daemon.cli.log_line import readable
from donmai_daemon.errors import DonmaiError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from pathlib import Path

    from donmai_daemon.cli.console import Console

_FOLLOW_SECONDS = 0.25
_BLOCK = 64 * 1024


def logs(arguments: Namespace, console: Console) -> int:
    """Print the last lines; with `--follow`, go on until interrupted, across rotation. Raises `DonmaiError`."""
    environ = console.environ
    path = paths.StatePaths(paths.state_directory(arguments.state_dir, environ, home(environ))).log
    try:
        log = path.open("rb")
    except FileNotFoundError as error:
        raise DonmaiError(
            f"there is no log at {path}",
            hint="under systemd the log is in the journal: journalctl -u donmai-daemon",
        ) from error
    except OSError as error:
        raise DonmaiError(f"the log {path} cannot be read: {error.strerror}", hint="try again with sudo") from error
    with log:
        show = _raw if arguments.json else _readable
        for line in last_lines(log, arguments.lines):
            show(line, console)
        if arguments.follow:
            _follow(log, path, lambda line: show(line, console))
    return 0


def last_lines(log: BinaryIO, count: int) -> list[str]:
    """The last `count` lines; `log` is at its end afterwards. Reads back from the end no further than it must."""
    end = log.seek(0, os.SEEK_END)
    start, tail = end, b""
    while start > 0 and tail.count(b"\n") <= count:
        start = max(0, start - _BLOCK)
        log.seek(start)
        tail = log.read(end - start)
    log.seek(end)
    return tail.decode("utf-8", "replace").splitlines()[-count:]


def _readable(line: str, console: Console) -> None:
    console.print(readable(line, console))


def _raw(line: str, console: Console) -> None:
    """Still JSON: what is not printable becomes an escape that JSON has."""
    console.print("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line))


def _follow(log: BinaryIO, path: Path, show: Callable[[str], None]) -> None:
    """Print lines when they are complete. A file of the same name with another inode is the one after rotation.

    1. we read to the end; 2. the daemon writes a line and rotates; 3. we see the new file. So the old one is read once
    more before it is left.
    """
    rest = b""
    while True:
        rotated = _is_another(path, log)
        *lines, rest = (rest + log.read()).split(b"\n")
        for line in lines:
            show(line.decode("utf-8", "replace"))
        if rotated:
            log.close()
            log = path.open("rb")
        else:
            time.sleep(_FOLLOW_SECONDS)


def _is_another(path: Path, log: BinaryIO) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # rotation is halfway
    return not os.path.samestat(now, os.fstat(log.fileno()))
