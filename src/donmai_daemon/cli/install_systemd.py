"""Installing as a systemd service: of the machine, or of one person."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from donmai_daemon.cli.install_steps import (
    Command,
    MakeDirectory,
    Note,
    RemoveFile,
    SeedFile,
    Step,
    WriteFile,
)
from donmai_daemon.errors import InstallationFailed
from donmai_daemon.paths import StatePaths, config_path, state_directory

if TYPE_CHECKING:
    from donmai_daemon.cli.install import Site

UNIT = "donmai-daemon.service"
USER = "donmai"
_STAMP = "# Written by `donmai host install`; `donmai host uninstall` removes it. Changes of yours belong in a drop-in.\n"
_BACKOFF_SINCE = 254
"""The first systemd that knows RestartSteps; older ones would warn at every start."""

_UNSEEN = ("/home", "/root", "/run/user", "/tmp")  # noqa: S108 - a place to refuse, not to use


def install_system(site: Site) -> list[Step]:
    """Steps that make the daemon a service of the machine, running as the static user `donmai`."""
    packaged = _packaged_unit(site)
    if packaged is not None:
        return [
            Note(f"keep   {packaged} (from the system package)"),
            Command(("systemctl", "enable", "--now", UNIT)),
            _next_system(site),
        ]
    _refuse_home(site)
    etc = site.root / "etc"
    unit = etc / "systemd" / "system" / UNIT
    steps: list[Step] = []
    if not _has_user(site):
        steps.append(
            Command(
                ("useradd", "--system", "--user-group", "--home-dir", "/var/lib/donmai", "--no-create-home", USER)
            )
        )
    return [
        *steps,
        MakeDirectory(etc / "donmai", 0o2770, USER),
        SeedFile(etc / "donmai" / "daemon.toml", unit_text("daemon.toml"), 0o640, USER),
        WriteFile(unit, _STAMP + _with_program(unit_text(UNIT), site)),
        *_backoff(site, unit),
        Command(("systemctl", "daemon-reload")),
        Command(("systemctl", "enable", "--now", UNIT)),
        _next_system(site),
    ]


def uninstall_system(site: Site) -> list[Step]:
    """Steps that take the service away and leave configuration, state and user."""
    packaged = _packaged_unit(site)
    if packaged is not None:
        raise InstallationFailed(
            f"{packaged} belongs to the system package", hint="remove the package: apt remove donmai-daemon"
        )
    etc = site.root / "etc"
    unit = etc / "systemd" / "system" / UNIT
    state = site.state or site.root / "var" / "lib" / "donmai"
    return [
        Command(("systemctl", "disable", "--now", UNIT), may_fail=True),
        RemoveFile(unit),
        RemoveFile(_drop_in(unit), with_directory=True),
        Command(("systemctl", "daemon-reload")),
        RemoveFile(StatePaths(state).credentials),
        Note(f"keep   {etc / 'donmai'} and {state}: configuration, journal and the user {USER} stay"),
    ]


def install_user(site: Site) -> list[Step]:
    """Steps that make the daemon a service of the person who asks."""
    unit = _user_units(site) / UNIT
    config = config_path(None, {}, site.home)
    return [
        WriteFile(unit, _STAMP + _with_program(unit_text(f"user/{UNIT}"), site)),
        *_backoff(site, unit),
        Command(("systemctl", "--user", "daemon-reload")),
        Command(("systemctl", "--user", "enable", "--now", UNIT)),
        Note(f"next   set [platform] url and token_file in {config}, then: systemctl --user restart {UNIT}"),
        Note("next   to have it run without a login as well: loginctl enable-linger"),
    ]


def uninstall_user(site: Site) -> list[Step]:
    """Steps that take the service away and leave configuration and state."""
    unit = _user_units(site) / UNIT
    state = StatePaths(site.state or state_directory(None, {}, site.home))
    return [
        Command(("systemctl", "--user", "disable", "--now", UNIT), may_fail=True),
        RemoveFile(unit),
        RemoveFile(_drop_in(unit), with_directory=True),
        Command(("systemctl", "--user", "daemon-reload")),
        RemoveFile(state.credentials),
        Note(f"keep   {config_path(None, {}, site.home)} and {state.directory}"),
    ]


def unit_text(name: str) -> str:
    """A file of the project's `systemd` directory: inside an installed package, beside the sources in a checkout."""
    package = Path(__file__).parents[1]
    return next(
        place.read_text(encoding="utf-8")
        for place in (package / "units" / name, package.parents[1] / "systemd" / name)
        if place.is_file()
    )


def _with_program(unit: str, site: Site) -> str:
    """The unit with this installation's own program in place of the one it names."""
    program, options = (" ".join(_quoted(word) for word in words) for words in (site.program, site.options))
    return re.sub(
        r"(?m)^(Exec\w+)=\S+ (.*)$", lambda found: f"{found[1]}={program} {found[2]} {options}".rstrip(), unit
    )


def _quoted(word: str) -> str:
    """As systemd.service(5) reads it back: C-like quoting, and `%` and `$` for themselves."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if re.search(r"[\s'\"\\;]", word) else plain


def _backoff(site: Site, unit: Path) -> list[Step]:
    return [WriteFile(_drop_in(unit), _STAMP + unit_text("backoff.conf"))] if _version() >= _BACKOFF_SINCE else []


def _drop_in(unit: Path) -> Path:
    return unit.with_name(f"{unit.name}.d") / "backoff.conf"


def _version() -> int:
    """systemd's major version; 0 where it cannot be told."""
    try:
        said = subprocess.run(("systemctl", "--version"), capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"systemd (\d+)", said.stdout)
    return int(found[1]) if found else 0


def _user_units(site: Site) -> Path:
    configured = site.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else site.home / ".config") / "systemd" / "user"


def _packaged_unit(site: Site) -> Path | None:
    places = (site.root / "usr/lib/systemd/system" / UNIT, site.root / "lib/systemd/system" / UNIT)
    return next((place for place in places if place.is_file()), None)


def _has_user(site: Site) -> bool:
    try:
        accounts = (site.root / "etc/passwd").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(line.startswith(f"{USER}:") for line in accounts.splitlines())


def _refuse_home(site: Site) -> None:
    """The service does not see home directories, so neither its program nor its interpreter may be in one."""
    for word in (*site.program, site.interpreter):
        place = Path(os.path.realpath(word)) if word.startswith("/") else None
        if place is not None and any(place.is_relative_to(base) for base in _UNSEEN):
            raise InstallationFailed(
                f"{place} is in a directory that a system service does not see",
                hint="install it for the machine (pipx install --global donmai-daemon, or the .deb/.rpm), or use --user",
            )


def _next_system(site: Site) -> Note:
    etc = site.root / "etc" / "donmai"
    return Note(
        f"next   set [platform] url in {etc / 'daemon.toml'}, put the registration token in {etc / 'token'} (chmod 600),"
        f" then: systemctl restart {UNIT}"
    )
