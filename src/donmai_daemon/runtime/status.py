"""One moment of the daemon, read from memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from donmai_daemon import __version__
from donmai_daemon.clock import Clock
from donmai_daemon.model.status import BeatTrace, EffectiveSettings, Occupancy, Snapshot
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.heartbeat import Heartbeat
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.inbox import Inbox
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.settings import redacted_values

NO_PLATFORM = BeatTrace(0.0, None, None, "no platform is configured", 0, False, False, None, None)
"""The heartbeat of a daemon that has nobody to beat to."""


class StatusDesk:
    """Answers from memory: never blocks, never waits for the platform."""

    def __init__(
        self,
        *,
        machine_id: str,
        config_path: Path,
        lifecycle: Lifecycle,
        live_config: LiveConfig,
        host: HostState,
        inbox: Inbox,
        conditions: Conditions,
        heartbeat: Heartbeat | None,
        occupancy: Callable[[], Occupancy],
        queue_depth: Callable[[], int],
        polls: bool,
        worker_id: Callable[[], str | None],
        clock: Clock,
        started_at: float,
    ) -> None:
        self._machine_id = machine_id
        self._config_path = config_path
        self._lifecycle = lifecycle
        self._live_config = live_config
        self._host = host
        self._inbox = inbox
        self._conditions = conditions
        self._heartbeat = heartbeat
        self._queue_depth = queue_depth
        self._polls = polls
        self._occupancy = occupancy
        self._worker_id = worker_id
        self._clock = clock
        self._started_at = started_at

    def snapshot(self) -> Snapshot:
        config = self._live_config.config
        counts = self._inbox.counts
        return Snapshot(
            lifecycle=self._lifecycle.state,
            version=__version__,
            machine_id=self._machine_id,
            worker_id=self._worker_id(),
            pid=os.getpid(),
            uptime_seconds=self._clock.monotonic() - self._started_at,
            active_sessions=self._occupancy().active,
            config=config,
            applied_project_ids=config.enabled_project_ids,
            host_status=self._host.status,
            beat=self._heartbeat.trace() if self._heartbeat else NO_PLATFORM,
            pending_mutations=counts.pending,
            review_mutations=counts.review,
            unsent_acks=counts.unsent,
            conditions=self._conditions.current(),
            config_path=str(self._config_path),
            config_digest=self._live_config.digest,
            config_valid=self._live_config.valid,
            queue_depth=self._queue_depth(),
            poll_running=self._polls and self._lifecycle.accepting and self._host.may_claim,
            taken_at=self._clock.now(),
        )

    def effective_settings(self) -> EffectiveSettings:
        loaded = self._live_config.loaded
        return EffectiveSettings(redacted_values(loaded), loaded.sources, loaded.warnings)
