"""Keeps the config lane moving: at once when something arrives, later while the file or the disk will not have it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import structlog

from donmai_daemon.clock import Clock, wait_until
from donmai_daemon.errors import ConfigInvalid, ConfigUnwritable, JournalUnavailable
from donmai_daemon.link.retry import Backoff
from donmai_daemon.runtime.applier import Applied, Applier
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.store_thread import StoreThread

_SECOND_LOOK_SECONDS = 2.0
_MAX_RETRY_SECONDS = 30.0


class ApplyLoop:
    """Runs the applier; publishes the configuration; raises what stands in the way as conditions."""

    def __init__(
        self,
        *,
        applier: Applier,
        store: StoreThread,
        live_config: LiveConfig,
        conditions: Conditions,
        clock: Clock,
        rng: random.Random,
        on_settled: Callable[[], Awaitable[None]],
        second_look: bool,
    ) -> None:
        self._applier = applier
        self._store = store
        self._live_config = live_config
        self._conditions = conditions
        self._clock = clock
        self._on_settled = on_settled
        self._backoff = Backoff(rng)
        self._wake = anyio.Event()
        self._retry_at: float | None = None
        self._look_at = clock.monotonic() + _SECOND_LOOK_SECONDS if second_look else None
        self._log = structlog.get_logger("applier")

    def wake(self) -> None:
        """Something waits, or the file changed."""
        self._wake.set()

    async def file_changed(self) -> None:
        """The watcher's news; whether anything is new, the digest tells when the file is read."""
        self.wake()

    async def run(self) -> None:
        """Apply until cancelled."""
        while True:
            due = [moment for moment in (self._retry_at, self._look_at) if moment is not None]
            await wait_until(self._clock, min(due, default=None), self._wake)
            self._wake = anyio.Event()
            if self._look_at is not None and self._clock.monotonic() >= self._look_at:
                await self._second_look()
            await self.refresh()

    async def refresh(self) -> Applied:
        """Read the file, apply what waits, publish what is in effect now."""
        applied = await self._store.run(self._applier.run)
        if applied.current is not None:
            self._live_config.adopt(applied.current.loaded, applied.current.read.digest or None)
        if applied.kept:
            self._look_at = self._clock.monotonic() + _SECOND_LOOK_SECONDS
        self._report(applied)
        if applied.settled:
            self._log.info("applier.settled", count=applied.settled, **applied.verdict_counts)
            await self._on_settled()
        return applied

    async def _second_look(self) -> None:
        self._look_at = None
        try:
            await self._store.run(self._applier.look_again)
        except (JournalUnavailable, OSError) as error:
            self._look_at = self._clock.monotonic() + _MAX_RETRY_SECONDS
            self._log.warning("applier.second_look_failed", reason=str(error))

    def _report(self, applied: Applied) -> None:
        problem = applied.problem
        if isinstance(problem, ConfigInvalid):
            self._live_config.broken(problem.message)
        elif problem is None:
            self._conditions.clear("config_invalid")
        full = isinstance(problem, ConfigUnwritable | JournalUnavailable) and problem.full
        if isinstance(problem, ConfigUnwritable) and not full:
            self._conditions.set("config_unwritable", "error", problem.message)
        else:
            self._conditions.clear("config_unwritable")
        if isinstance(problem, JournalUnavailable) or full:
            self._conditions.set("disk_full", "error", problem.message if problem else "")
        else:
            self._conditions.clear("disk_full")
        if problem is not None and applied.waiting:
            changes = "1 change waits" if applied.waiting == 1 else f"{applied.waiting} changes wait"
            self._conditions.set("mutation_parked", "warning", f"{changes} for the file: {problem.message}")
        else:
            self._conditions.clear("mutation_parked")
        if applied.internal_errors:
            self._conditions.set(
                "mutation_internal_error",
                "error",
                f"failed for a fault of this program, see the log: {', '.join(applied.internal_errors[:5])}",
            )
        if problem is None or isinstance(problem, ConfigInvalid):
            # A broken file is waited for, not retried: the watcher tells when a person has saved it.
            self._retry_at = None
            self._backoff.reset()
        else:
            delay = self._backoff.next(cap=_MAX_RETRY_SECONDS)
            self._retry_at = self._clock.monotonic() + delay
