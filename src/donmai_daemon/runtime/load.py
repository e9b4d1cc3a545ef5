"""How busy the machine is."""

from __future__ import annotations

import contextlib
import os

import psutil

from donmai_daemon.model.wire import Load

_FAILURES = (OSError, RuntimeError, ValueError, KeyError, psutil.Error)


class LoadSampler:
    """CPU percent since the previous sample, memory percent now, load averages."""

    def __init__(self) -> None:
        # The first value of a process is 0.0 by psutil's definition: there is nothing to compare with yet.
        with contextlib.suppress(*_FAILURES):
            psutil.cpu_percent(interval=None)

    def sample(self) -> Load | None:
        """None where the system does not tell; a failed sample never fails a beat."""
        try:
            cpu = psutil.cpu_percent(interval=None)
            memory = psutil.virtual_memory().percent
        except _FAILURES:
            return None
        try:
            average = os.getloadavg()
        except OSError:
            return Load(cpu, memory, None)
        return Load(cpu, memory, average)
