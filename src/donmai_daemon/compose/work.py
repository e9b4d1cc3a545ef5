"""The work of this host: sessions, the poll that brings them, and what the control API shows of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from donmai_daemon.compose.base import Base
from donmai_daemon.compose.connection import Connection
from donmai_daemon.control.router import RouteGroup
from donmai_daemon.control.sessions import session_routes
from donmai_daemon.model.status import Occupancy
from donmai_daemon.model.wire import BeatAnswer
from donmai_daemon.runtime.drain import Drain
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.poller import DEFAULT_INTERVAL, Poller
from donmai_daemon.runtime.standing import may_poll, standing
from donmai_daemon.sessions.admission import Standing
from donmai_daemon.sessions.desk import SessionDesk
from donmai_daemon.sessions.host_platform import HostPlatform, NoPlatform
from donmai_daemon.sessions.manager import SessionManager
from donmai_daemon.sessions.record import RecordStore, SessionRecord
from donmai_daemon.sessions.reporter import Reporter
from donmai_daemon.sessions.session import SessionTools
from donmai_daemon.sessions.spawner import SessionFiles, Spawner

RUNNER = (sys.executable, "-I" if sys.flags.isolated else "-P", "-m", "donmai_daemon", "agent", "run")
"""As isolated as this process is, and never with modules from the directory it happens to stand in."""


@dataclass(slots=True)
class Work:
    """`poller` is None where no platform is configured. `waiting`: items that the platform said are queued for this host."""

    manager: SessionManager
    poller: Poller | None
    drain: Drain
    routes: RouteGroup
    waiting: int = 0

    def occupancy(self) -> Occupancy:
        return Occupancy(self.manager.active_count, self.manager.interactive_count)

    def heard(self, answer: BeatAnswer) -> None:
        """A beat was answered: it may tell of work, and of whether any may be claimed."""
        self.waiting = answer.pending_work_count or 0
        if self.poller is not None:
            self.poller.look_again()
            if answer.pending_work_count:
                self.poller.work_waits()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopt what an earlier daemon left (then it has started), and work until cancelled. Sessions go on after that."""
        async with anyio.create_task_group() as group:
            await group.start(self.manager.run)
            group.start_soon(self.drain.run)
            if self.poller is not None:
                group.start_soon(self.poller.run)
            task_status.started()


def employ(base: Base, host: HostState, connection: Connection | None, daemon_url: str) -> Work:
    """Build it. `daemon_url` is the control API's address as it is really bound."""
    platform = HostPlatform(connection.client, connection.identity) if connection is not None else None
    port = platform or NoPlatform()
    live_config, lifecycle = base.live_config, base.lifecycle

    def now(active: int) -> Standing:
        return standing(live_config.config, lifecycle, host, active, registered=port.worker_id is not None)

    full = False

    def changed(_record: SessionRecord) -> None:
        nonlocal full
        if poller is not None:
            poller.look_again()
        was_full, full = full, manager.active_count >= live_config.config.capacity.max_sessions
        if full != was_full:
            base.changed()  # whether work can be sent here is told at once, how much runs by the next beat

    files = SessionFiles(base.options.state.sessions)
    manager = SessionManager(
        tools=SessionTools(
            records=RecordStore(files.records),
            spawner=Spawner(files, RUNNER, base.options.environ),
            store=base.store,
            clock=base.clock,
            daemon_url=lambda: daemon_url,
            on_change=changed,
        ),
        reporter=Reporter(port, base.clock, base.rng),
        standing=now,
        worker_id=lambda: port.worker_id,
    )
    poller = None
    if platform is not None and connection is not None:
        identity = connection.identity

        def interval() -> float:
            """A platform that holds beats tells of work by them; then polls only make up for a word that was lost."""
            own = identity.poll_interval or DEFAULT_INTERVAL
            return max(own, identity.heartbeat_interval or own) if identity.held_beats else own

        poller = Poller(
            claim=platform.poll,
            take=manager.take,
            may_poll=lambda: may_poll(now(manager.active_count)),
            interval=interval,
            clock=base.clock,
            rng=base.rng,
        )
        base.changed.add(poller.look_again)
        live_config.on_change.add(poller.look_again)
    drain = Drain(lifecycle, manager, lambda: live_config.config.agent.drain_timeout_seconds)
    base.changed.add(drain.look_again)
    return Work(manager, poller, drain, session_routes(SessionDesk(manager, port), drain))
