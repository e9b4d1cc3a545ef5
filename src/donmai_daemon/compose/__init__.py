"""`donmai host run`: what must be true before anything is served, and how the process ends.

The heavy imports are in `daemon`, after this module has kept out what a daemon has no use for.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from donmai_daemon.errors import StateDirectoryUnusable
from donmai_daemon.footprint import keep_out_optional_modules
from donmai_daemon.paths import StatePaths, config_path, state_directory


class Options(NamedTuple):
    """Where the daemon's files are, and the environment it reads its overrides from."""

    config: Path
    state: StatePaths
    environ: Mapping[str, str]


def host_run(
    config: str | None, state_dir: str | None, host: str | None, port: int | None, environ: Mapping[str, str]
) -> int:
    """Run the daemon until it is told to stop; the process's exit code.

    Raises `DonmaiError` for whatever stands in the way of starting: another daemon, a port that is taken, a state
    directory that others can read.
    """
    keep_out_optional_modules(sys.modules)
    from donmai_daemon.settings.apart import SectionsApart

    sections = SectionsApart()
    sections.prepare()  # on another processor, while this one imports the rest
    try:
        from donmai_daemon.compose.daemon import run_daemon

        return run_daemon(options(config, state_dir, host, port, environ), sections=sections)
    finally:
        sections.release()


def options(
    config: str | None, state_dir: str | None, host: str | None, port: int | None, environ: Mapping[str, str]
) -> Options:
    """Resolve the command line and the environment. `--host` and `--port` are overrides like any other."""
    overrides = dict(environ)
    if host is not None:
        overrides["DONMAI_CONTROL__HOST"] = host
    if port is not None:
        overrides["DONMAI_CONTROL__PORT"] = str(port)
    home = Path(environ.get("HOME") or "~").expanduser()
    state = StatePaths(state_directory(state_dir, environ, home))
    return Options(config_path(config, environ, home), state, overrides)


def private_directory(directory: Path) -> None:
    """Make the state directory, 0700. Raises `StateDirectoryUnusable` for one that others can use, or is not ours."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise StateDirectoryUnusable(
            f"the state directory {directory} cannot be made: {error.strerror}",
            hint="choose another with --state-dir or DONMAI_STATE_DIR",
        ) from error
    if status.st_uid != os.geteuid():
        raise StateDirectoryUnusable(
            f"the state directory {directory} belongs to another user (uid {status.st_uid})",
            hint=f"run the daemon as that user, or: chown {os.geteuid()} {directory}",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StateDirectoryUnusable(
            f"the state directory {directory} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 700 {directory}",
        )
