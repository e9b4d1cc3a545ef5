"""The daemon from its first line to its last: built in order, run in task groups, taken down in order."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path

import anyio
import structlog

from donmai_daemon import __version__, log
from donmai_daemon.clock import SystemClock
from donmai_daemon.compose import Options, private_directory
from donmai_daemon.compose.base import Base
from donmai_daemon.compose.connection import connect
from donmai_daemon.compose.heartbeat import beat
from donmai_daemon.compose.memory import remember
from donmai_daemon.compose.work import Work, employ
from donmai_daemon.control.app import ControlApp
from donmai_daemon.control.router import RouteGroup
from donmai_daemon.control.routes import control_routes
from donmai_daemon.control.server import serve
from donmai_daemon.control.sockets import bind
from donmai_daemon.control.token import load_or_create
from donmai_daemon.errors import DonmaiError
from donmai_daemon.link.resolver import EventLoop
from donmai_daemon.model.config import Log
from donmai_daemon.ops.document import Document
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.network import follow_network
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.runtime.service_manager import keep_informed
from donmai_daemon.runtime.startup import first_config
from donmai_daemon.runtime.status import StatusDesk
from donmai_daemon.runtime.steering import Steering
from donmai_daemon.runtime.stoppable import Stoppable, unless
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.runtime.watcher import Watcher
from donmai_daemon.settings import load
from donmai_daemon.settings.apart import SectionsApart
from donmai_daemon.store.atomic import Step, no_step
from donmai_daemon.store.config_file import ConfigFile
from donmai_daemon.store.journal import Journal
from donmai_daemon.store.lock import StateLock
from donmai_daemon.store.machine import machine_id
from donmai_daemon.systemd import Notifier, watchdog_interval

_STOP_SECONDS = 60.0
"""What a stop may take beyond the drain: sessions told to end, their programs killed, the last beat."""


def run_daemon(options: Options, step: Step = no_step, sections: SectionsApart | None = None) -> int:
    """Run until told to stop; 0, or 3 for "start me again". Raises `DonmaiError` where it cannot start.

    `step` is called at every durable step. It is the seam of the crash tests, which have an entry point of their own.
    `sections` reads the configuration's sections in another process; None: they are read in this one.
    """
    os.umask(0o077)
    private_directory(options.state.directory)
    lock = StateLock.acquire(options.state.lock)
    try:
        with closing(_log(options)) as logging:
            return anyio.run(_run, options, step, logging, sections, backend_options={"loop_factory": EventLoop})
    except BaseExceptionGroup as group:
        cause = _only_cause(group)
        if cause is None:
            raise
        raise cause from group
    finally:
        lock.release()


def _only_cause(group: BaseExceptionGroup[BaseException]) -> DonmaiError | None:
    """The one error that ended the task groups, where it is one of ours: the person wants to read that, not a tree."""
    leaves = group.subgroup(lambda error: not isinstance(error, BaseExceptionGroup))
    while isinstance(leaves, BaseExceptionGroup) and len(leaves.exceptions) == 1:
        (inner,) = leaves.exceptions
        if isinstance(inner, DonmaiError):
            return inner
        leaves = inner if isinstance(inner, BaseExceptionGroup) else None
    return None


async def _run(options: Options, step: Step, logging: log.Logging, sections: SectionsApart | None) -> int:
    clock = SystemClock()
    started_at = clock.monotonic()
    conditions = Conditions(clock)
    changed = Notice()
    configuration = Configuration(
        ConfigFile(options.config, step=step),
        options.state.last_good,
        lambda document, previous: load(document, options.environ, previous, sections),
    )
    live_config = first_config(
        configuration, load(Document.parse(b""), options.environ, None, sections), conditions
    )
    if sections is not None:
        sections.release()
    base = Base(
        options=options,
        step=step,
        clock=clock,
        rng=random.Random(),  # noqa: S311 - jitter, not secrets
        store=StoreThread(),
        conditions=conditions,
        lifecycle=Lifecycle(changed),
        changed=changed,
        live_config=live_config,
    )

    def change_log() -> None:
        logging.change(live_config.config.log.level, live_config.config.log.format)

    change_log()
    live_config.on_change.add(change_log)
    token = load_or_create(options.state.control_token)
    sockets = bind(live_config.config.control.host, live_config.config.control.port, _socket(base))
    app = ControlApp(sockets.port, clock)
    async with anyio.create_task_group() as serving:
        await serving.start(serve, app, sockets)
        code = await _live(base, configuration, started_at, sockets.url, lambda groups: app.open(token, groups))
        serving.cancel_scope.cancel()
    return code


async def _live(
    base: Base,
    configuration: Configuration,
    started_at: float,
    own_url: str,
    open_api: Callable[[Sequence[RouteGroup]], None],
) -> int:
    """From an open journal to a closed one; the exit code."""
    options, clock, store = base.options, base.clock, base.store
    logger = structlog.get_logger("daemon")
    notifier = Notifier.from_environ(options.environ)
    own_id = await store.run(machine_id, base.live_config.config.machine.id, options.state.directory)
    journal = await store.run(Journal.open, options.state.journal, clock.now(), base.step)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.run, journal.close)
        host = HostState(await store.run(journal.host_status))
        connection = await connect(base, own_id, stack)
        work = employ(base, host, connection, own_url)
        memory = await remember(base, configuration, journal, host, work.manager.kill)
        heartbeat = await beat(base, memory, connection, work) if connection else None
        steering = Steering(
            base.lifecycle, memory.apply_loop.refresh, connection.look_again if connection else lambda: None
        )
        status = StatusDesk(
            machine_id=own_id,
            config_path=options.config,
            lifecycle=base.lifecycle,
            live_config=base.live_config,
            host=host,
            inbox=memory.inbox,
            conditions=base.conditions,
            heartbeat=heartbeat,
            occupancy=work.occupancy,
            queue_depth=lambda: work.waiting,
            polls=work.poller is not None,
            worker_id=lambda: connection.identity.worker_id if connection else None,
            clock=clock,
            started_at=started_at,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(_obey_signals, steering, notifier)
            await group.start(work.run)
            group.start_soon(memory.apply_loop.run)
            group.start_soon(memory.host_lane.run)
            group.start_soon(Watcher(options.config, memory.apply_loop.file_changed).run)
            group.start_soon(keep_informed, notifier, watchdog_interval(options.environ), status.snapshot, clock)
            beating = Stoppable(heartbeat.run) if heartbeat else None
            if connection is not None and heartbeat is not None and beating is not None:
                group.start_soon(connection.run)
                group.start_soon(beating.run)
                group.start_soon(follow_network, heartbeat.network_changed, clock)
            memory.host_lane.wake()
            open_api(control_routes(status, memory.inbox, steering, [work.routes]))
            base.lifecycle.started()
            notifier.ready()
            logger.info("daemon.started", version=__version__, config=str(options.config), control=own_url)

            await steering.wanted.wait()
            drain_seconds = base.live_config.config.agent.drain_timeout_seconds
            notifier.stopping(seconds=drain_seconds + _STOP_SECONDS)
            await unless(steering.at_once, partial(_finish_work, work, drain_seconds))
            await _finish_work(work, 0)
            if beating is not None and heartbeat is not None:
                await beating.stop()
                await unless(steering.at_once, heartbeat.farewell)
            base.lifecycle.stopped()
            group.cancel_scope.cancel()
    logger.info("daemon.stopped", exit_code=steering.exit_code)
    return steering.exit_code


async def _finish_work(work: Work, seconds: float) -> None:
    """Wait for running sessions, then end them; returns at once where none runs."""
    if work.manager.active_count:
        await work.manager.drain(seconds)


async def _obey_signals(steering: Steering, notifier: Notifier) -> None:
    """TERM and INT end the daemon in order, a second one at once; HUP reads the configuration again."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            if number != signal.SIGHUP:
                steering.signalled(number.name)
                continue
            notifier.reloading()
            try:
                await steering.reload()
            except DonmaiError as error:
                structlog.get_logger("daemon").warning("daemon.reload_failed", reason=error.message)
            notifier.ready()


def _socket(base: Base) -> Path:
    configured = base.live_config.config.control.socket
    return Path(configured) if configured else base.options.state.control_socket


def _log(options: Options) -> log.Logging:
    """Log to stderr, and outside systemd's journal to a file in the state directory as well.

    Level and form are the defaults until the configuration has been read.
    """
    journal = log.is_journal(options.environ, sys.stderr.fileno())
    defaults = Log()
    file = None if journal else options.state.log
    return log.setup(defaults.level, defaults.format, sys.stderr, file, journal=journal)
