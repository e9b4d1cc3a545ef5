"""`donmai host doctor`: files first, then what the running daemon finds about itself."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from donmai_daemon import paths
from donmai_daemon.cli.client import client_for
from donmai_daemon.cli.configuration import located, read
from donmai_daemon.cli.console import clean
from donmai_daemon.cli.endpoints import home
from donmai_daemon.control.doctor import Check, to_json
from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.json import Json, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from pathlib import Path

    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.condition import Severity


def doctor(arguments: Namespace, console: Console) -> int:
    """Every check, the good ones too; exit 1 where one of severity error failed, a daemon that does not run included."""
    checks = [_config(arguments, console), *_state(arguments, console), *_daemon(arguments, console)]
    report = to_json(checks)
    if arguments.json:
        console.json(report)
    else:
        for check in checks:
            word = console.state("ok" if check.ok else check.severity, 7)
            console.print(f"{word}  {check.name:<15}  {clean(check.detail)}")
            if not check.ok and check.hint:
                console.print(f"{'':26}{console.style(clean(check.hint), 'dim')}")
    return 0 if report["ok"] else 1


def _config(arguments: Namespace, console: Console) -> Check:
    path = located(arguments.config, console)
    try:
        reading = read(path, console, required=arguments.config is not None)
    except DonmaiError as error:
        return Check("config-file", False, "error", f"{path}: {error.message}", error.hint)
    if not reading.exists:
        return Check("config-file", True, "info", f"no file at {path}: defaults")
    warnings = reading.loaded.warnings
    if warnings:
        return Check(
            "config-file", False, "warning", f"{path}: {warnings[0]}", "donmai host config check shows all"
        )
    return Check("config-file", True, "error", f"{path} is valid")


def _state(arguments: Namespace, console: Console) -> Iterator[Check]:
    """What would keep a daemon from starting: a directory or a token that others can use."""
    state = paths.StatePaths(paths.state_directory(arguments.state_dir, console.environ, home(console.environ)))
    yield _private("state-directory", state.directory, 0o700)
    if os.path.lexists(state.control_token):
        yield _private("control-token", state.control_token, 0o600)


def _private(name: str, path: Path, mode: int) -> Check:
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return Check(name, True, "error", f"{path} is not there yet; the daemon makes it")
    except OSError as error:
        return Check(name, False, "warning", f"{path}: {error.strerror}", "try again with sudo")
    if found & 0o077:
        return Check(
            name, False, "error", f"{path} is open to other users (mode {found:04o})", f"chmod {mode:o} {path}"
        )
    return Check(name, True, "error", f"{path} is private")


def _daemon(arguments: Namespace, console: Console) -> Iterator[Check]:
    client = client_for(arguments, console)
    try:
        report = client.get("/api/daemon/doctor")
    except DonmaiError as error:
        yield Check("daemon", False, "error", error.message, error.hint)
        return
    yield Check("daemon", True, "error", f"answers at {client.address}")
    listed = report.get("checks")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict):
            yield Check(
                text_or_none(entry, "name") or "?",
                entry.get("ok") is True,
                _severity(entry.get("severity")),
                text_or_none(entry, "detail") or "",
                text_or_none(entry, "hint"),
            )


def _severity(value: Json) -> Severity:
    """A severity that this version does not know counts as an error: better loud than lost."""
    return "info" if value == "info" else "warning" if value == "warning" else "error"
