"""What a start finds on the disk, and goes by."""

from __future__ import annotations

import random

import structlog

from donmai_daemon.clock import Clock, parse_rfc3339
from donmai_daemon.errors import ConfigInvalid, ConfigUnwritable
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.settings import Loaded


def first_config(configuration: Configuration, defaults: Loaded, conditions: Conditions) -> LiveConfig:
    """The file; else the last good one; else `defaults`, which name no projects. Blocking.

    A broken file is a condition from the first moment on, and never a reason not to start: the control API is how its
    owner finds out.
    """
    try:
        understood = configuration.read()
    except (ConfigInvalid, ConfigUnwritable) as error:
        live = LiveConfig(configuration.last_good() or defaults, None, conditions)
        live.broken(error.message)
        return live
    configuration.adopt(understood)
    if not understood.read.exists:
        structlog.get_logger("configuration").warning(
            "configuration.missing", path=str(configuration.file.path), effect="starting from defaults, no projects"
        )
    return LiveConfig(understood.loaded, understood.read.digest or None, conditions)


def first_delay(
    clock: Clock, rng: random.Random, interval: float, last_beat: str | None, *, acks_wait: bool
) -> float:
    """Seconds to the first beat of this start.

    A fleet that is restarted at once spreads over one interval. Who starts for the first time, has something to tell,
    or was silent for three intervals beats at once. `last_beat` is the time of the last accepted one, RFC 3339.
    """
    last = parse_rfc3339(last_beat) if last_beat else None
    if last is None or acks_wait:
        return 0.0
    silence = (clock.now() - last).total_seconds()
    return rng.uniform(0, interval) if 0 <= silence <= 3 * interval else 0.0
