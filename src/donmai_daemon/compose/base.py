"""What every part of the daemon stands on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from donmai_daemon.clock import Clock
from donmai_daemon.compose import Options
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.store.atomic import Step


@dataclass(frozen=True, slots=True)
class Base:
    """What everything else stands on."""

    options: Options
    step: Step
    clock: Clock
    rng: random.Random
    store: StoreThread
    conditions: Conditions
    lifecycle: Lifecycle
    changed: Notice
    live_config: LiveConfig
