"""What the verbs of `donmai platform` do: the platform's own services, on its own store, from this process."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from donmai_daemon.cli.endpoints import home
from donmai_daemon.clock import SystemClock, rfc3339
from donmai_daemon.log.setup import is_journal, setup
from donmai_daemon.model.json import Json
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.assembly import assemble
from donmai_daemon.platform.http.views import host_view, key_view
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.serve import listen, url_of
from donmai_daemon.platform.serve import serve as serve_platform
from donmai_daemon.platform.service.hosts import Hosts
from donmai_daemon.platform.service.keys import Keys
from donmai_daemon.platform.service.tokens import Tokens
from donmai_daemon.platform.service.wakeups import LocalWakeups
from donmai_daemon.platform.settings import MAX_TOKEN_TTL, ServeSettings
from donmai_daemon.platform.store.ports import Store
from donmai_daemon.platform.store.sqlite.store import open_sqlite

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console

_CLOCK = SystemClock()
_NAMES = Names()


def serve(arguments: Namespace, console: Console) -> int:
    """Serve until a signal ends it."""
    logging = setup(
        arguments.log_level, "auto", sys.stderr, journal=is_journal(console.environ, sys.stderr.fileno())
    )
    bound = listen(arguments.host, arguments.port)
    url = url_of(bound)
    settings = ServeSettings(
        public_url=arguments.public_url or url,
        heartbeat_interval=timedelta(seconds=arguments.heartbeat_interval),
        poll_interval=timedelta(seconds=arguments.poll_interval),
        token_ttl=timedelta(seconds=arguments.token_ttl),
        rate_limit=arguments.rate_limit,
        legacy_org=arguments.legacy_org,
    )

    def on_ready() -> None:
        line = {"ready": True, "url": url, "pid": os.getpid()}
        console.print(json.dumps(line) if arguments.json else f"platform ready at {url}; Ctrl-C ends it")

    async def run() -> None:
        async with open_sqlite(_data_directory(arguments, console), _CLOCK, serving=True) as store:
            await serve_platform(assemble(store, LocalWakeups(), settings, _CLOCK, _NAMES), bound, on_ready)

    try:
        anyio.run(run)
    finally:
        bound.close()
        logging.close()
    return 0


def key_create(arguments: Namespace, console: Console) -> int:
    """Make a key and show it, once."""

    async def act(store: Store) -> int:
        made = await Keys(store, _CLOCK, _NAMES).create(arguments.org, arguments.role, arguments.name, _operator())
        if arguments.json:
            view = key_view(made.record)
            console.json(
                {"key": made.text.reveal()}
                | {name: view[name] for name in ("keyPrefix", "orgId", "role", "id", "name")}
            )
        else:
            console.print(made.text.reveal())
            console.note(
                f"made {made.record.id}, role {made.record.role} of {made.record.org_id}; the key is not shown again"
            )
        return 0

    return _with_store(arguments, console, act)


def key_list(arguments: Namespace, console: Console) -> int:
    """Every key, revoked ones too."""

    async def act(store: Store) -> int:
        keys = await Keys(store, _CLOCK, _NAMES).list(arguments.org)
        views: list[Json] = [key_view(key) for key in keys]
        if arguments.json:
            console.json({"keys": views})
        else:
            console.table(
                ("ID", "PREFIX", "ORG", "ROLE", "STATE", "CREATED", "NAME"),
                [
                    (
                        k.id,
                        k.prefix + "…",
                        k.org_id,
                        k.role,
                        "revoked" if k.revoked_at else "ok",
                        rfc3339(k.created_at),
                        k.name or "",
                    )
                    for k in keys
                ],
            )
        return 0

    return _with_store(arguments, console, act)


def key_revoke(arguments: Namespace, console: Console) -> int:
    """Revoke one key."""

    async def act(store: Store) -> int:
        key = await Keys(store, _CLOCK, _NAMES).revoke(arguments.key, _operator())
        if arguments.json:
            console.json(key_view(key))
        else:
            console.print(f"revoked {key.id}")
        return 0

    return _with_store(arguments, console, act)


def key_rotate_signing(arguments: Namespace, console: Console) -> int:
    """Sign with a new key; the one before verifies until the last token it can have signed is over."""

    async def act(store: Store) -> int:
        key = await Tokens(store, _CLOCK, _NAMES, MAX_TOKEN_TTL).rotate(_operator())
        if arguments.json:
            console.json({"signingKeyId": key.id, "createdAt": rfc3339(key.created_at)})
        else:
            console.print(f"runtime tokens are signed by {key.id} from now on")
        return 0

    return _with_store(arguments, console, act)


def host_list(arguments: Namespace, console: Console) -> int:
    """Every machine."""

    async def act(store: Store) -> int:
        hosts = Hosts(store, LocalWakeups(), _CLOCK, timedelta(seconds=arguments.heartbeat_interval))
        found = await hosts.list(arguments.org)
        views: list[Json] = [host_view(view) for view in found]
        if arguments.json:
            console.json({"hosts": views})
        else:
            console.table(
                ("ID", "ORG", "HOSTNAME", "STATE", "LAST SEEN", "TOLD", "WAITING"),
                [
                    (
                        v.host.id,
                        v.host.org_id,
                        v.host.hostname,
                        v.presence,
                        rfc3339(v.last_seen_at),
                        v.host.status.status,
                        str(v.host.open_mutations),
                    )
                    for v in found
                ],
            )
        return 0

    return _with_store(arguments, console, act)


def host_status(arguments: Namespace, console: Console) -> int:
    """Set what beats of a machine are told."""

    async def act(store: Store) -> int:
        hosts = Hosts(store, LocalWakeups(), _CLOCK, timedelta(seconds=30))
        status = HostStatus(arguments.status, arguments.action, tuple(arguments.pool))
        host = await hosts.set_status(arguments.host, status, _operator())
        if arguments.json:
            console.json({"workerHostId": host.id, "hostStatus": host.status.to_json()})
        else:
            console.print(f"{host.id} is told {host.status.status} from its next beat on")
        return 0

    return _with_store(arguments, console, act)


def host_remove(arguments: Namespace, console: Console) -> int:
    """Forget a machine."""

    async def act(store: Store) -> int:
        hosts = Hosts(store, LocalWakeups(), _CLOCK, timedelta(seconds=30))
        host = await hosts.remove(arguments.host, _operator())
        if arguments.json:
            console.json({"workerHostId": host.id, "removed": True})
        else:
            console.print(f"removed {host.id} ({host.hostname}); with a good key it can register again")
        return 0

    return _with_store(arguments, console, act)


def _with_store(arguments: Namespace, console: Console, act: Callable[[Store], Awaitable[int]]) -> int:
    async def run() -> int:
        async with open_sqlite(_data_directory(arguments, console), _CLOCK, serving=False) as store:
            return await act(store)

    return anyio.run(run)


def _data_directory(arguments: Namespace, console: Console) -> Path:
    if arguments.data_dir:
        return Path(arguments.data_dir).absolute()
    base = console.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else home(console.environ) / ".local" / "state") / "donmai-platform"


def _operator() -> str:
    """Who works on this machine, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"
