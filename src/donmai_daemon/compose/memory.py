"""The journal, and those who act on it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from donmai_daemon.compose.base import Base
from donmai_daemon.runtime.applier import Applier
from donmai_daemon.runtime.apply_loop import ApplyLoop
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.host_lane import HostLane, Kill
from donmai_daemon.runtime.inbox import Inbox
from donmai_daemon.store.database import damaged_files
from donmai_daemon.store.journal import Journal


@dataclass(frozen=True, slots=True)
class Memory:
    """The journal, and those who act on it."""

    journal: Journal
    host: HostState
    inbox: Inbox
    apply_loop: ApplyLoop
    host_lane: HostLane


async def remember(
    base: Base, configuration: Configuration, journal: Journal, host: HostState, kill: Kill
) -> Memory:
    """Recover what a crash left, and build those who act on the journal. `kill` is the effect of `session.kill`."""
    applier = Applier(journal, configuration, base.clock.now, lambda: secrets.token_hex(4), base.step)
    await base.store.run(applier.recover)
    aside = damaged_files(base.options.state.journal)
    if aside:
        base.conditions.set(
            "journal_replaced",
            "error",
            f"the journal was damaged and set aside as {aside[-1].name} in the state directory; changes that were "
            "waiting in it come again from the platform. Remove the file when you have looked at it, and restart",
        )
    inbox = Inbox(
        journal=journal,
        applier=applier,
        store=base.store,
        clock=base.clock,
        new_id=lambda: secrets.token_hex(8),
        counts=await base.store.run(journal.counts),
    )

    async def settled() -> None:
        counts = await inbox.refresh_counts()
        if counts.fresh:
            base.changed()

    apply_loop = ApplyLoop(
        applier=applier,
        store=base.store,
        live_config=base.live_config,
        conditions=base.conditions,
        clock=base.clock,
        rng=base.rng,
        on_settled=settled,
        second_look=await base.store.run(applier.keeps),
    )
    host_lane = HostLane(
        journal=journal,
        store=base.store,
        host=host,
        live_config=base.live_config,
        conditions=base.conditions,
        clock=base.clock,
        rng=base.rng,
        kill=kill,
        on_settled=settled,
    )
    inbox.on_submit.add(apply_loop.wake)
    inbox.on_submit.add(host_lane.wake)
    return Memory(journal, host, inbox, apply_loop, host_lane)
