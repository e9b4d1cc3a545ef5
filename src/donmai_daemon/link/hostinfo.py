"""What this machine is, as far as it can be found out. Nothing here ever fails a registration."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.registration import HostInfo

_T = TypeVar("_T")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MODEL_NAMES = {"model name", "Model", "Hardware"}  # x86 and most others; Raspberry Pi; older ARM
_MAX_CHARS = 200


def collect_host_info(version: str, started_at: datetime, proc: Path = Path("/proc")) -> HostInfo:
    """Ask the machine, once. Blocking, for some milliseconds.

    `os` and `arch` are Go's names (linux, darwin; amd64, arm64): the reference daemon shares this wire.
    """
    machine = platform.machine().lower()
    return HostInfo(
        os=sys.platform,
        arch=_ARCHITECTURES.get(machine, machine),
        daemon_version=version,
        started_at=rfc3339(started_at),
        os_version=_try(_os_version),
        cpu_cores=os.cpu_count(),
        cpu_model=_try(lambda: _cpu_model(proc)),
        memory_total_mb=_try(_memory_total_mb),
    )


def _try(ask: Callable[[], _T | None]) -> _T | None:
    try:
        return ask()
    except Exception:  # noqa: BLE001 - whatever is odd about this machine, it is no reason not to register it
        return None


def _os_version() -> str | None:
    if sys.platform == "darwin":
        return platform.mac_ver()[0] or None
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.release())[:_MAX_CHARS]


def _cpu_model(proc: Path) -> str | None:
    for line in (proc / "cpuinfo").read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in _MODEL_NAMES and value.strip():
            return value.strip()[:_MAX_CHARS]
    return None


def _memory_total_mb() -> int:
    import psutil  # only needed once, here, and not by every program that imports link

    return psutil.virtual_memory().total // (1024 * 1024)
