"""Everything that speaks to the platform."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from donmai_daemon import __version__
from donmai_daemon.compose.base import Base
from donmai_daemon.compose.memory import Memory
from donmai_daemon.link.client import open_client
from donmai_daemon.link.credentials import CredentialsCache, read_registration_token
from donmai_daemon.link.hostinfo import collect_host_info
from donmai_daemon.link.identity import Identity
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.registration import Registration
from donmai_daemon.model.status import BeatTrace, Occupancy
from donmai_daemon.model.wire import BeatAnswer
from donmai_daemon.runtime.beats import BeatDesk, Received
from donmai_daemon.runtime.heartbeat import Heartbeat
from donmai_daemon.runtime.load import LoadSampler
from donmai_daemon.runtime.startup import first_delay
from donmai_daemon.store.atomic import write_private


@dataclass(frozen=True, slots=True)
class Link:
    """Who speaks to the platform; None where none is configured."""

    identity: Identity | None
    heartbeat: Heartbeat | None

    def trace(self) -> BeatTrace:
        if self.heartbeat is None:
            return BeatTrace(0.0, None, None, "no platform is configured", 0, False, False, None, None)
        return self.heartbeat.trace()


async def dial(base: Base, memory: Memory, own_id: str, stack: AsyncExitStack) -> Link:
    """Everything that speaks to the platform; nothing where no platform is configured."""
    config = base.live_config.config
    if config.platform.url is None:
        base.conditions.set(
            "platform_unreachable", "warning", "no platform is configured: set [platform] url, and restart"
        )
        return Link(None, None)
    client = await stack.enter_async_context(
        open_client(config.platform, base.clock, __version__, base.options.environ)
    )
    info = await to_thread.run_sync(collect_host_info, __version__, base.clock.now())
    credentials_directory = base.options.environ.get("CREDENTIALS_DIRECTORY")

    def registration() -> Registration:
        current = base.live_config.config
        return Registration(
            hostname=current.machine.name or socket.gethostname(),
            capacity=current.capacity.max_sessions,
            version=__version__,
            machine_id=own_id,
            host_info=info,
            report=AdmissionReport.of(current),
            region=current.machine.region,
        )

    identity = Identity(
        client=client,
        cache=CredentialsCache(base.options.state.credentials, write_private),
        machine_id=own_id,
        registration=registration,
        registration_token=lambda: read_registration_token(
            base.options.environ,
            base.live_config.config.platform,
            Path(credentials_directory) if credentials_directory else None,
        ),
        conditions=base.conditions,
        clock=base.clock,
        rng=base.rng,
        on_change=lambda: None,
    )
    last = await base.store.run(memory.journal.accepted_beat)
    worker, report = last.get("workerId"), last.get("reportDigest")
    desk = BeatDesk(
        journal=memory.journal,
        store=base.store,
        lifecycle=base.lifecycle,
        live_config=base.live_config,
        host=memory.host,
        conditions=base.conditions,
        occupancy=Occupancy,
        load=LoadSampler(),
        clock=base.clock,
        last_seq=await base.store.run(memory.journal.last_seq),
        accepted=(worker, report) if isinstance(worker, str) and isinstance(report, str) else None,
        step=base.step,
    )

    def answered(_answer: BeatAnswer, received: Received) -> None:
        memory.inbox.counts = received.counts
        if received.new_ids:
            memory.apply_loop.wake()
            memory.host_lane.wake()

    last_at = last.get("at")
    heartbeat = Heartbeat(
        identity=identity,
        client=client,
        desk=desk,
        clock=base.clock,
        rng=base.rng,
        conditions=base.conditions,
        configured_interval=lambda: base.live_config.config.heartbeat.interval_seconds,
        on_answer=answered,
        first_delay=first_delay(
            base.clock,
            base.rng,
            config.heartbeat.interval_seconds,
            last_at if isinstance(last_at, str) else None,
            acks_wait=memory.inbox.counts.unsent > 0,
        ),
        step=base.step,
    )
    base.changed.add(heartbeat.tell_now)
    base.live_config.on_change.add(heartbeat.tell_now)
    return Link(identity, heartbeat)
