"""The heartbeat, joined to those who act on its answers."""

from __future__ import annotations

from donmai_daemon.compose.base import Base
from donmai_daemon.compose.connection import Connection
from donmai_daemon.compose.memory import Memory
from donmai_daemon.compose.work import Work
from donmai_daemon.model.wire import BeatAnswer
from donmai_daemon.runtime.beats import BeatDesk, Received
from donmai_daemon.runtime.heartbeat import Heartbeat
from donmai_daemon.runtime.load import LoadSampler
from donmai_daemon.runtime.startup import first_delay


async def beat(base: Base, memory: Memory, connection: Connection, work: Work) -> Heartbeat:
    """The heartbeat, joined to those who act on its answers."""
    config = base.live_config.config
    last = await base.store.run(memory.journal.accepted_beat)
    worker, report = last.get("workerId"), last.get("reportDigest")
    desk = BeatDesk(
        journal=memory.journal,
        store=base.store,
        lifecycle=base.lifecycle,
        live_config=base.live_config,
        host=memory.host,
        conditions=base.conditions,
        occupancy=work.occupancy,
        load=LoadSampler(),
        clock=base.clock,
        last_seq=await base.store.run(memory.journal.last_seq),
        accepted=(worker, report) if isinstance(worker, str) and isinstance(report, str) else None,
        step=base.step,
    )

    def answered(answer: BeatAnswer, received: Received) -> None:
        memory.inbox.counts = received.counts
        if received.new_ids:
            memory.apply_loop.wake()
            memory.host_lane.wake()
        work.heard(answer)

    last_at = last.get("at")
    heartbeat = Heartbeat(
        identity=connection.identity,
        client=connection.client,
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
    connection.on_look_again.add(heartbeat.try_again)
    return heartbeat
