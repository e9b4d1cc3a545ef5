"""A daemon as a process of its own, made of the daemon's own parts, for tests of work: beats, polls, sessions, control API.

`work_daemon.py CONFIG STATE_DIR`. It says on standard output where its control API is, and can be killed at any time.
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import AsyncExitStack

import anyio

from donmai_daemon import __version__, compose, log
from donmai_daemon.clock import SystemClock
from donmai_daemon.compose.base import Base
from donmai_daemon.compose.link import dial
from donmai_daemon.compose.memory import remember
from donmai_daemon.compose.work import employ
from donmai_daemon.control.app import ControlApp
from donmai_daemon.control.server import serve
from donmai_daemon.control.sockets import bind
from donmai_daemon.control.token import load_or_create
from donmai_daemon.link.client import open_client
from donmai_daemon.model.wire import BeatAnswer
from donmai_daemon.ops.document import Document
from donmai_daemon.runtime.beats import Received
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.runtime.startup import first_config
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.settings import load
from donmai_daemon.store.atomic import no_step
from donmai_daemon.store.config_file import ConfigFile
from donmai_daemon.store.journal import Journal
from donmai_daemon.store.lock import StateLock


async def run(options: compose.Options) -> None:
    clock = SystemClock()
    conditions = Conditions(clock)
    changed = Notice()
    configuration = Configuration(
        ConfigFile(options.config),
        options.state.last_good,
        lambda document, previous: load(document, options.environ, previous),
    )
    live_config = first_config(configuration, load(Document.parse(b""), options.environ), conditions)
    base = Base(
        options=options, step=no_step, clock=clock, rng=random.Random(), store=StoreThread(), conditions=conditions,
        lifecycle=Lifecycle(changed), changed=changed, live_config=live_config,
    )  # fmt: skip
    sockets = bind("127.0.0.1", 0, options.state.control_socket)
    app = ControlApp(sockets.port, clock)
    journal = await base.store.run(Journal.open, options.state.journal, clock.now())
    async with AsyncExitStack() as stack:
        memory = await remember(base, configuration, journal)
        client = await stack.enter_async_context(
            open_client(live_config.config.platform, clock, __version__, options.environ)
        )
        link = await dial(base, memory, options.environ["MACHINE"], stack)
        assert link.heartbeat is not None
        work = employ(base, memory.host, link.identity, client, f"http://127.0.0.1:{sockets.port}")
        recorded = link.heartbeat._on_answer

        def answered(answer: BeatAnswer, received: Received) -> None:
            recorded(answer, received)
            work.heard(answer)

        link.heartbeat._on_answer = answered
        memory.host_lane._kill = work.manager.kill
        async with anyio.create_task_group() as group:
            await group.start(serve, app, sockets)
            await group.start(work.run)
            app.open(load_or_create(options.state.control_token), [work.routes])
            base.lifecycle.started()
            group.start_soon(memory.apply_loop.run)
            group.start_soon(memory.host_lane.run)
            group.start_soon(link.heartbeat.run)
            print(sockets.port, flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    chosen = compose.options(sys.argv[1], sys.argv[2], None, None, os.environ)
    compose.private_directory(chosen.state.directory)
    held = StateLock.acquire(chosen.state.lock)
    log.setup("info", "json", sys.stderr)
    anyio.run(run, chosen)
