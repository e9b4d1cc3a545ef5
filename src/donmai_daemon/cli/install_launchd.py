"""Installing as a launchd job on macOS: of one person, or of the machine on a person's behalf."""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING

from donmai_daemon.cli.install_steps import Command, Note, RemoveFile, Step, WriteFile
from donmai_daemon.errors import InstallationFailed
from donmai_daemon.paths import StatePaths, config_path, state_directory

if TYPE_CHECKING:
    from pathlib import Path

    from donmai_daemon.cli.install import Site

LABEL = "dev.donmai.daemon"
_PATH = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
"""launchd's own PATH has neither Homebrew nor /usr/local, where agents have their tools."""

_EXIT_SECONDS = 660
"""Longer than the default `[agent] drain_timeout_seconds`; launchd's own 20 s would kill sessions on every stop."""


def job(site: Site, user: str | None) -> str:
    """The property list. `user`: who the job of the machine runs as; None: a job of the person's own login."""
    wanted: dict[str, object] = {
        "Label": LABEL,
        "ProgramArguments": [*site.program, "host", "run", *site.options],
        "EnvironmentVariables": {"PATH": _PATH},
        "WorkingDirectory": str(site.home),
        "RunAtLoad": True,
        # Again after a crash and after exit code 3, and not after a clean stop.
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": _EXIT_SECONDS,
        "Umask": 0o077,
        # The daemon has its own log, which rotates; a file of launchd's would grow for ever.
        "StandardOutPath": "/dev/null",
        "StandardErrorPath": "/dev/null",
    }
    if user is not None:
        wanted["UserName"] = user
    return plistlib.dumps(wanted, sort_keys=False).decode()


def install_user(site: Site) -> list[Step]:
    """Steps that make the daemon a job of the person who asks."""
    return _install(site, _agents(site), f"gui/{site.uid}", None)


def uninstall_user(site: Site) -> list[Step]:
    """Steps that take the job away and leave configuration and state."""
    return _uninstall(site, _agents(site), f"gui/{site.uid}")


def install_system(site: Site) -> list[Step]:
    """Steps that make the daemon a job of the machine, there before anybody logs in, running as who called sudo."""
    user = _sudo_user(site)
    return _install(_of(user, site), _daemons(site), "system", user)


def uninstall_system(site: Site) -> list[Step]:
    """Steps that take the job away and leave configuration and state."""
    return _uninstall(_of(_sudo_user(site), site), _daemons(site), "system")


def _install(site: Site, plist: Path, domain: str, user: str | None) -> list[Step]:
    written = WriteFile(plist, job(site, user))
    # A changed file counts only once the job is loaded again, and loading a job twice is an error.
    as_it_is = written.is_written()
    return [
        written,
        *(() if as_it_is else (Command(("launchctl", "bootout", f"{domain}/{LABEL}"), may_fail=True),)),
        Command(("launchctl", "enable", f"{domain}/{LABEL}")),
        Command(("launchctl", "bootstrap", domain, str(plist)), may_fail=as_it_is),
        Note(
            f"next   set [platform] url and token_file in {config_path(None, {}, site.home)}, "
            f"then: launchctl kickstart -k {domain}/{LABEL}"
        ),
    ]


def _uninstall(site: Site, plist: Path, domain: str) -> list[Step]:
    state = StatePaths(site.state or state_directory(None, {}, site.home))
    return [
        Command(("launchctl", "bootout", f"{domain}/{LABEL}"), may_fail=True),
        RemoveFile(plist),
        RemoveFile(state.credentials),
        Note(f"keep   {config_path(None, {}, site.home)} and {state.directory}"),
    ]


def _agents(site: Site) -> Path:
    return site.home / "Library" / "LaunchAgents" / f"{LABEL}.plist"


def _daemons(site: Site) -> Path:
    return site.root / "Library" / "LaunchDaemons" / f"{LABEL}.plist"


def _of(user: str, site: Site) -> Site:
    """The same, at home where `user` is: sudo may or may not have kept HOME."""
    try:
        return site._replace(home=site.home_of(user))
    except RuntimeError as error:
        raise InstallationFailed(f"there is no user {user}") from error


def _sudo_user(site: Site) -> str:
    user = site.environ.get("SUDO_USER", "")
    if user in ("", "root"):
        raise InstallationFailed(
            "the job would run its sessions as root", hint="call it with sudo from your own account, or use --user"
        )
    return user
