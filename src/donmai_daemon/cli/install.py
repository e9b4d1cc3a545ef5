"""`donmai host install` and `uninstall`: the daemon as a service of this machine or of this person."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from donmai_daemon.cli.endpoints import home
from donmai_daemon.errors import InstallationFailed

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

    from donmai_daemon.cli.console import Console
    from donmai_daemon.cli.install_steps import Step


class Site(NamedTuple):
    """What an installation depends on. `program` starts this product by way of `interpreter`, `options` are those that
    every call of it gets; `state` is the state directory where `--state-dir` names one; `root` is `/` except in tests."""

    program: Sequence[str]
    options: Sequence[str]
    interpreter: str
    home: Path
    uid: int
    environ: Mapping[str, str]
    home_of: Callable[[str], Path]
    root: Path
    state: Path | None = None


def install(arguments: Namespace, console: Console) -> int:
    """Make the daemon a service and start it. Again: what is as it should be is kept."""
    return _carry_out("install", arguments, console)


def uninstall(arguments: Namespace, console: Console) -> int:
    """Stop the service and take it away. Configuration, journal and logs stay; the cached runtime token goes."""
    return _carry_out("uninstall", arguments, console)


def _carry_out(verb: str, arguments: Namespace, console: Console) -> int:
    uid = os.geteuid()
    system = bool(arguments.system or (not arguments.user and uid == 0))
    if system and uid != 0 and not arguments.dry_run:
        raise InstallationFailed(f"{verb} --system needs root", hint=f"sudo donmai host {verb} --system")
    state = Path(arguments.state_dir).absolute() if arguments.state_dir else None
    options = [
        word
        for name, value in (("--host", arguments.host), ("--port", arguments.port), ("--state-dir", state))
        if value is not None
        for word in (name, str(value))
    ]
    site = Site(
        _program(sys.argv[0]),
        options,
        sys.executable,
        home(console.environ),
        uid,
        console.environ,
        _home_of,
        Path("/"),
        state,
    )
    for step in _planner(verb, system)(site):
        console.print(step.plan() if arguments.dry_run else step.perform())
    return 0


def _planner(verb: str, system: bool) -> Callable[[Site], list[Step]]:
    """Who knows the steps on this operating system."""
    if sys.platform == "darwin":
        from donmai_daemon.cli import install_launchd as launchd

        if verb == "install":
            return launchd.install_system if system else launchd.install_user
        return launchd.uninstall_system if system else launchd.uninstall_user
    from donmai_daemon.cli import install_systemd as systemd

    if verb == "install":
        return systemd.install_system if system else systemd.install_user
    return systemd.uninstall_system if system else systemd.uninstall_user


def _home_of(user: str) -> Path:
    return Path(f"~{user}").expanduser()


def _program(argv0: str) -> tuple[str, ...]:
    """What starts this product again: its script, or the interpreter that was called with `-m`."""
    script = Path(argv0).absolute()
    if script.name.startswith("donmai") and os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-P", "-m", "donmai_daemon")
