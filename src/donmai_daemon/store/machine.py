"""Who this machine is, to the platform: one id that stays, whatever the machine is called."""

from __future__ import annotations

import hmac
import re
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

from donmai_daemon.errors import StateDirectoryUnusable
from donmai_daemon.paths import StatePaths
from donmai_daemon.store.atomic import write_private

OS_MACHINE_ID = Path("/etc/machine-id")

_APPLICATION = b"donmai-daemon machine id"
_OS_ID = re.compile(r"[0-9a-f]{32}")
_OWN_ID = re.compile(r"mch_[0-9a-f]{32}")
_IOREG = "/usr/sbin/ioreg"
_IOREG_SECONDS = 5


def hardware_uuid() -> str | None:
    """macOS's `IOPlatformUUID`, which a reinstallation does not change; None elsewhere."""
    try:
        listing = subprocess.run(
            [_IOREG, "-rd1", "-c", "IOPlatformExpertDevice"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_IOREG_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return platform_uuid_in(listing)


def platform_uuid_in(listing: str) -> str | None:
    """The UUID in the output of `ioreg`, or None."""
    found = re.search(r'"IOPlatformUUID"\s*=\s*"([0-9A-Fa-f-]{36})"', listing)
    return found.group(1).lower() if found else None


def machine_id(
    configured: str | None,
    state_dir: Path,
    os_machine_id: Path = OS_MACHINE_ID,
    hardware: Callable[[], str | None] = hardware_uuid,
) -> str:
    """The configured id, else `mch_` and 32 hex digits derived from the operating system's id of this machine.

    The system's id itself is never shown: systemd asks to derive one for each application (machine-id(5)), because
    whoever holds it can follow the machine everywhere. A machine whose system has none gets a random id, kept in
    `state_dir`, which must exist. Blocking. Raises `StateDirectoryUnusable` where the kept id cannot be read as one.
    """
    if configured is not None:
        return configured
    system = _read_os_id(os_machine_id) or hardware()
    return _derived(system) if system else _kept(StatePaths(state_dir).machine_id)


def _read_os_id(path: Path) -> str | None:
    """The system's id; None for an empty file (an image before its first boot), `uninitialized`, or all zeros."""
    try:
        text = path.read_text("ascii").strip().lower()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _OS_ID.fullmatch(text) and text.strip("0") else None


def _derived(system: str) -> str:
    return "mch_" + hmac.digest(_APPLICATION, system.encode(), "sha256").hex()[:32]


def _kept(path: Path) -> str:
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        text = f"mch_{secrets.token_hex(16)}"
        write_private(path, f"{text}\n".encode())
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path) from error
    if not _OWN_ID.fullmatch(text):
        raise _unusable(path)
    return text


def _unusable(path: Path) -> StateDirectoryUnusable:
    return StateDirectoryUnusable(
        f"{path} does not hold a machine id",
        hint="restore it, or delete it to appear to the platform as a new machine",
    )
