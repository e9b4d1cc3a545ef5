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
from donmai_daemon.clock import Clock, SystemClock
from donmai_daemon.compose import Options, private_directory
from donmai_daemon.compose.base import Base
from donmai_daemon.compose.link import Link, dial
from donmai_daemon.compose.memory import remember
from donmai_daemon.control.app import ControlApp
from donmai_daemon.control.router import RouteGroup
from donmai_daemon.control.routes import control_routes
from donmai_daemon.control.server import serve
from donmai_daemon.control.sockets import bind
from donmai_daemon.control.token import load_or_create
from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.config import Log
from donmai_daemon.model.status import Occupancy
from donmai_daemon.ops.document import Document
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.runtime.startup import first_config
from donmai_daemon.runtime.status import StatusDesk
from donmai_daemon.runtime.steering import Steering
from donmai_daemon.runtime.stoppable import Stoppable, unless
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.runtime.watcher import Watcher
from donmai_daemon.settings import load
from donmai_daemon.store.atomic import Step, no_step
from donmai_daemon.store.config_file import ConfigFile
from donmai_daemon.store.journal import Journal
from donmai_daemon.store.lock import StateLock
from donmai_daemon.store.machine import machine_id
from donmai_daemon.systemd import Notifier, watchdog_interval


def run_daemon(options: Options, step: Step = no_step) -> int:
    """Run until told to stop; 0, or 3 for "start me again". Raises `DonmaiError` where it cannot start.

    `step` is called at every durable step. It is the seam of the crash tests, which have an entry point of their own.
    """
    os.umask(0o077)
    private_directory(options.state.directory)
    lock = StateLock.acquire(options.state.lock)
    try:
        with closing(_log(options)) as logging:
            return anyio.run(_run, options, step, logging)
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


async def _run(options: Options, step: Step, logging: log.Logging) -> int:
    clock = SystemClock()
    started_at = clock.monotonic()
    conditions = Conditions(clock)
    changed = Notice()
    configuration = Configuration(
        ConfigFile(options.config, step=step),
        options.state.last_good,
        lambda document, previous: load(document, options.environ, previous),
    )
    live_config = first_config(configuration, load(Document.parse(b""), options.environ), conditions)
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
        code = await _live(base, configuration, started_at, lambda groups: app.open(token, groups))
        serving.cancel_scope.cancel()
    return code


async def _live(
    base: Base, configuration: Configuration, started_at: float, open_api: Callable[[Sequence[RouteGroup]], None]
) -> int:
    """From an open journal to a closed one; the exit code."""
    options, clock, live_config = base.options, base.clock, base.live_config
    notifier = Notifier.from_environ(options.environ)
    own_id = await base.store.run(machine_id, live_config.config.machine.id, options.state.directory)
    journal = await base.store.run(Journal.open, options.state.journal, clock.now(), base.step)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(base.store.run, journal.close)
        memory = await remember(base, configuration, journal)
        link = await dial(base, memory, own_id, stack)
        steering = Steering(base.lifecycle, memory.apply_loop.refresh)
        status = StatusDesk(
            machine_id=own_id,
            config_path=options.config,
            lifecycle=base.lifecycle,
            live_config=live_config,
            host=memory.host,
            inbox=memory.inbox,
            conditions=base.conditions,
            beat=link.trace,
            occupancy=Occupancy,
            worker_id=lambda: link.identity.worker_id if link.identity else None,
            clock=clock,
            started_at=started_at,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(_obey_signals, steering, notifier)
            group.start_soon(memory.apply_loop.run)
            group.start_soon(memory.host_lane.run)
            group.start_soon(Watcher(options.config, memory.apply_loop.file_changed).run)
            group.start_soon(_feed_watchdog, notifier, watchdog_interval(options.environ), clock)
            if link.identity is not None:
                group.start_soon(link.identity.keep_fresh)
            beating = Stoppable(link.heartbeat.run) if link.heartbeat else None
            if beating is not None:
                group.start_soon(beating.run)
            memory.apply_loop.wake()
            memory.host_lane.wake()
            open_api(control_routes(status, memory.inbox, steering))
            base.lifecycle.started()
            notifier.ready()
            structlog.get_logger("daemon").info(
                "daemon.started",
                version=__version__,
                config=str(options.config),
                state=str(options.state.directory),
            )

            await steering.wanted.wait()
            notifier.stopping()
            await unless(steering.at_once, partial(_wind_down, link, beating))
            base.lifecycle.stopped()
            group.cancel_scope.cancel()
    structlog.get_logger("daemon").info("daemon.stopped", exit_code=steering.exit_code)
    return steering.exit_code


async def _wind_down(link: Link, beating: Stoppable | None) -> None:
    """What is worth waiting for: the platform hears that this host takes no more work."""
    if beating is not None and link.heartbeat is not None:
        await beating.stop()
        await link.heartbeat.farewell()


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


async def _feed_watchdog(notifier: Notifier, interval: float | None, clock: Clock) -> None:
    """Show the service manager that the event loop turns. Whether the platform answers is another matter."""
    while interval is not None:
        notifier.watchdog()
        await clock.sleep(interval)


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
