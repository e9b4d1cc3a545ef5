"""Where files are: the configuration file, the state directory, and what lies in it.

The command line imports this for every verb, so it stands on `os` and `pathlib` alone: `dataclasses` would cost
more than the rest of a `--version`. Environment and home directory are passed in.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SYSTEM_CONFIG = Path("/etc/donmai/daemon.toml")
"""The configuration file of the system service."""

SYSTEM_SOCKET = Path("/run/donmai/control.sock")
"""The control socket of the system service; client verbs try it beside the one in the state directory."""

_SYSTEM_STATE = Path("/var/lib")
"""systemd's system manager puts every `StateDirectory=` below this; user managers never do."""


class StatePaths(NamedTuple):
    """The state directory (mode 0700) and the files in it (mode 0600). Names only: nothing is read or made here."""

    directory: Path

    @property
    def journal(self) -> Path:
        """The SQLite journal: inbox, plans, outcomes, outbox."""
        return self.directory / "journal.db"

    @property
    def credentials(self) -> Path:
        """The runtime token, bound to platform URL and registration token."""
        return self.directory / "credentials.json"

    @property
    def control_token(self) -> Path:
        """The bearer of the control API."""
        return self.directory / "control-token"

    @property
    def control_socket(self) -> Path:
        """The control API's unix socket, where `[control] socket` names no other."""
        return self.directory / "control.sock"

    @property
    def log(self) -> Path:
        """The log outside systemd; `daemon.log.1` beside it is the one before."""
        return self.directory / "daemon.log"

    @property
    def last_good(self) -> Path:
        """The last configuration that was found good."""
        return self.directory / "last-good.toml"

    @property
    def lock(self) -> Path:
        """Held by the one daemon that uses this directory."""
        return self.directory / "daemon.lock"

    @property
    def machine_id(self) -> Path:
        """The random machine id of a machine whose system has none."""
        return self.directory / "machine-id"

    @property
    def sessions(self) -> Path:
        """Directory of the sessions' own files."""
        return self.directory / "sessions"


def config_path(
    option: str | None, environ: Mapping[str, str], home: Path, system_config: Path = SYSTEM_CONFIG
) -> Path:
    """The configuration file: absolute, symlinks unresolved, perhaps not there yet.

    `--config`, else `DONMAI_CONFIG`, else `~/.donmai/daemon.toml`, else `/etc/donmai/daemon.toml`, of these two the
    first that exists (a symlink counts, wherever it leads). Where neither exists the answer is the place a first
    change will create: the home directory for a person, `/etc/donmai` for the system service. An empty variable
    counts as unset.
    """
    named = option or environ.get("DONMAI_CONFIG")
    if named:
        return _absolute(named, home)
    own = home / ".donmai" / "daemon.toml"
    if os.path.lexists(own):
        return own
    if os.path.lexists(system_config) or _is_system_service(environ):
        return system_config
    return own


def state_directory(option: str | None, environ: Mapping[str, str], home: Path) -> Path:
    """The state directory, absolute, perhaps not there yet.

    `--state-dir`, else `DONMAI_STATE_DIR`, else the first of systemd's `STATE_DIRECTORY`, else `.donmai` below
    `DONMAI_STATE_HOME`, else below the home directory. An empty variable counts as unset.
    """
    named = option or environ.get("DONMAI_STATE_DIR") or _systemd_state(environ)
    if named:
        return _absolute(named, home)
    parent = environ.get("DONMAI_STATE_HOME")
    return (_absolute(parent, home) if parent else home) / ".donmai"


def _systemd_state(environ: Mapping[str, str]) -> str:
    return environ.get("STATE_DIRECTORY", "").split(":", 1)[0]


def _is_system_service(environ: Mapping[str, str]) -> bool:
    return Path(_systemd_state(environ)).is_relative_to(_SYSTEM_STATE)


def _absolute(text: str, home: Path) -> Path:
    """Absolute, because a daemon may change directory later; `~/` too, because no shell reads a unit's variables."""
    return home / text[2:] if text.startswith("~/") else Path(text).absolute()
