"""`donmai host reload|pause|resume|stop|restart`: one request, one sentence back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.client import client_for
from donmai_daemon.cli.console import clean
from donmai_daemon.model.json import text_or_none

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console


def steer(arguments: Namespace, console: Console) -> int:
    """Ask the daemon for what the verb names. Raises as `ControlClient.post` does."""
    answer = client_for(arguments, console).post(f"/api/daemon/{arguments.verb}")
    console.print(clean(text_or_none(answer, "message") or "ok"))
    return 0
