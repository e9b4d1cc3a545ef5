"""`donmai platform serve`."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from donmai_daemon.cli.platform_store import CLOCK, NAMES, location
from donmai_daemon.errors import UsageError
from donmai_daemon.log.setup import is_journal, setup
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.assembly import assemble
from donmai_daemon.platform.serve import listen, url_of
from donmai_daemon.platform.serve import serve as serve_platform
from donmai_daemon.platform.settings import Leases, ServeSettings
from donmai_daemon.platform.store.location import open_store_to_serve
from donmai_daemon.systemd import Notifier, watchdog_interval

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console


def serve(arguments: Namespace, console: Console) -> int:
    """Serve until a signal ends it. The first line on standard output says where."""
    legacy_key = console.environ.get("WORKER_API_KEY")
    if arguments.legacy_org and not legacy_key:
        raise UsageError("--legacy-org says whom WORKER_API_KEY stands for, and there is none in the environment")
    logging = setup(
        arguments.log_level, "auto", sys.stderr, journal=is_journal(console.environ, sys.stderr.fileno())
    )
    bound = listen(arguments.host, arguments.port)
    url = url_of(bound)
    settings = ServeSettings(
        public_url=(arguments.public_url or url).rstrip("/"),
        heartbeat_interval=timedelta(seconds=arguments.heartbeat_interval),
        poll_interval=timedelta(seconds=arguments.poll_interval),
        token_ttl=timedelta(seconds=arguments.token_ttl),
        rate_limit=arguments.rate_limit,
        request_timeout=timedelta(seconds=arguments.request_timeout),
        legacy_org=arguments.legacy_org,
        legacy_key=Secret(legacy_key) if legacy_key else None,
        leases=Leases(
            confirm_within=timedelta(seconds=arguments.claim_timeout),
            lease=timedelta(seconds=arguments.lease),
        ),
    )

    notifier = Notifier.from_environ(console.environ)

    def on_ready() -> None:
        notifier.ready(f"serving at {url}")
        line = {"ready": True, "url": url, "pid": os.getpid()}
        console.print(json.dumps(line) if arguments.json else f"platform ready at {url}; Ctrl-C ends it")

    async def run() -> None:
        async with open_store_to_serve(location(arguments, console), CLOCK) as opened:
            platform = assemble(opened.store, opened.wakeups, settings, CLOCK, NAMES)
            arrival, watchdog = settings.request_timeout.total_seconds(), watchdog_interval(console.environ)
            await serve_platform(platform, bound, on_ready, notifier, arrival, watchdog)

    try:
        anyio.run(run)
    finally:
        bound.close()
        logging.close()
    return 0
