"""`donmai host reload|pause|resume|stop|restart`: one request, one sentence back."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from donmai_daemon.cli.client import client_for
from donmai_daemon.cli.console import clean
from donmai_daemon.cli.process import is_alive
from donmai_daemon.model.json import int_or_none, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console

_LOOK_SECONDS = 0.1


def steer(arguments: Namespace, console: Console) -> int:
    """Ask the daemon for what the verb names. Raises as `ControlClient.post` does."""
    answer = client_for(arguments, console).post(f"/api/daemon/{arguments.verb}")
    console.print(clean(text_or_none(answer, "message") or "ok"))
    return 0


def stop(arguments: Namespace, console: Console) -> int:
    """Ask it to stop and, unless told otherwise, return when the process is gone, so that another may start."""
    client = client_for(arguments, console)
    pid = None if arguments.no_wait else int_or_none(client.get("/api/daemon/status"), "pid")
    answer = client.post("/api/daemon/stop")
    console.print(clean(text_or_none(answer, "message") or "ok"))
    if pid is not None:
        _await_end(pid)
    return 0


def _await_end(pid: int) -> None:
    """Return when the process has ended, also where nobody has collected its exit code yet."""
    if not hasattr(os, "pidfd_open"):
        while is_alive(pid):
            time.sleep(_LOOK_SECONDS)
        return
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)
