"""`donmai platform host`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from donmai_daemon.cli.console import clean
from donmai_daemon.cli.platform_store import CLOCK, on_store, operator
from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.http.views import host_view
from donmai_daemon.platform.service.hosts import Hosts, HostView
from donmai_daemon.platform.store.opened import Opened

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console


def listed(arguments: Namespace, console: Console) -> int:
    """Every machine."""
    found = on_store(
        arguments, console, lambda opened: _hosts(opened, arguments.heartbeat_interval).all(arguments.org)
    )
    if arguments.json:
        views: list[Json] = [host_view(view) for view in found]
        console.json({"hosts": views})
    else:
        console.table(("ID", "ORG", "HOSTNAME", "STATE", "LAST SEEN", "TOLD", "WAITING"), map(_row, found))
    return 0


def status(arguments: Namespace, console: Console) -> int:
    """Set what beats of a machine are told."""
    told = HostStatus(arguments.status, arguments.action, tuple(arguments.pool))
    host = on_store(arguments, console, lambda opened: _hosts(opened).set_status(arguments.host, told, operator()))
    if arguments.json:
        console.json({"workerHostId": host.id, "hostStatus": host.status.to_json()})
    else:
        console.print(f"{host.id} is told {host.status.status} from its next beat on")
    return 0


def remove(arguments: Namespace, console: Console) -> int:
    """Forget a machine."""
    host = on_store(arguments, console, lambda opened: _hosts(opened).remove(arguments.host, operator()))
    if arguments.json:
        console.json({"workerHostId": host.id, "removed": True})
    else:
        console.print(f"removed {host.id} ({clean(host.hostname)}); with a good key it can register again")
    return 0


def _hosts(opened: Opened, interval: float = 30.0) -> Hosts:
    return Hosts(opened.store, opened.wakeups, CLOCK, timedelta(seconds=interval))


def _row(view: HostView) -> tuple[str, ...]:
    host = view.host
    return (
        host.id,
        host.org_id,
        host.hostname,
        view.presence,
        rfc3339(view.last_seen_at),
        host.status.status,
        str(host.open_mutations),
    )
