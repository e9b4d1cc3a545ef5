"""A store that is open, and the way to tell others that something in it has changed."""

from __future__ import annotations

from dataclasses import dataclass

from donmai_daemon.platform.store.ports import Store
from donmai_daemon.platform.wakeups import LocalWakeups, Wakeups


@dataclass(frozen=True, slots=True)
class Opened:
    """For an operator's verb: what it publishes reaches the processes that serve."""

    store: Store
    wakeups: Wakeups


@dataclass(frozen=True, slots=True)
class Serving:
    """For a process that serves: beats are held on `wakeups`, which also hears what others publish."""

    store: Store
    wakeups: LocalWakeups
