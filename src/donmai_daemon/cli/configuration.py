"""`donmai host config check|show`: the file and the environment, read as the daemon reads them. Needs no daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from donmai_daemon import paths
from donmai_daemon.cli.console import clean
from donmai_daemon.cli.endpoints import home
from donmai_daemon.errors import ConfigInvalid, DonmaiError
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import Loaded, load, redacted_values

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.json import Json, JsonObject


_MEANWHILE = "correct it there; until then the daemon goes by the last good configuration"


class Reading(NamedTuple):
    """The file that is meant, and what it says. `exists` is False where the daemon would start from defaults."""

    path: Path
    exists: bool
    loaded: Loaded


def located(option: str | None, console: Console) -> Path:
    """The configuration file that `--config` and the environment mean."""
    return paths.config_path(option, console.environ, home(console.environ))


def read(path: Path, console: Console, *, required: bool) -> Reading:
    """Raises `ConfigInvalid`, and `DonmaiError` where the file cannot be read, or is not there though `required`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        if required:
            raise DonmaiError(f"there is no file at {path}") from error
        return Reading(path, False, load(Document.parse(b""), console.environ))
    except OSError as error:
        raise DonmaiError(f"{path} cannot be read: {error.strerror}") from error
    return Reading(path, True, load(Document.parse(data), console.environ))


def check(arguments: Namespace, console: Console) -> int:
    """Say what is wrong, with line and column. Exit 1 where the daemon would refuse the file."""
    path = located(arguments.config, console)
    try:
        reading = read(path, console, required=arguments.config is not None)
    except ConfigInvalid as error:
        if arguments.json:
            console.json(verdict(path, error))
        else:
            console.error(in_file(path, error))
        return 1
    if arguments.json:
        console.json({"path": str(path), "valid": True, "errors": [], "warnings": list(reading.loaded.warnings)})
        return 0
    for warning in reading.loaded.warnings:
        console.print(f"{console.style('warning:', 'yellow')} {clean(warning)}")
    if reading.exists:
        count = len(reading.loaded.warnings)
        noticed = f", {count} warning{'s' if count > 1 else ''}" if count else ""
        console.print(f"{clean(str(path))}: {console.style('valid', 'green')}{noticed}")
    else:
        console.print(f"{clean(str(path))}: not there; the daemon starts from defaults")
    return 0


def show(arguments: Namespace, console: Console) -> int:
    """Every effective value, secrets redacted, and where it came from. Raises as `read` does."""
    path = located(arguments.config, console)
    try:
        reading = read(path, console, required=arguments.config is not None)
    except ConfigInvalid as error:
        raise in_file(path, error) from error
    values = redacted_values(reading.loaded)
    if arguments.json:
        console.json(
            {
                "path": str(reading.path),
                "exists": reading.exists,
                "values": values,
                "sources": dict(reading.loaded.sources),
                "warnings": list(reading.loaded.warnings),
            }
        )
        return 0
    console.print(clean(str(reading.path)) + ("" if reading.exists else " (not there: defaults)"))
    console.print()
    console.table(("KEY", "FROM", "VALUE"), rows(values, reading.loaded.sources))
    return 0


def in_file(path: Path, error: ConfigInvalid) -> DonmaiError:
    """The error for a reader who has to be told which file it is about."""
    return DonmaiError(f"{path}: {error.message}", hint=error.hint or _MEANWHILE)


def verdict(path: Path, error: ConfigInvalid) -> JsonObject:
    """The JSON of a file that is refused."""
    found: JsonObject = {"message": error.message, "key": error.key, "line": error.line, "column": error.column}
    return {"path": str(path), "valid": False, "errors": [found], "warnings": []}


def rows(values: Mapping[str, Json], sources: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Key, source and value of every setting; of `projects` and `model_access` one row for each entry."""
    for section, table in values.items():
        for key, value in table.items() if isinstance(table, dict) else ():
            source = sources.get(f"{section}.{key}") or sources.get(section, "default")
            yield f"{section}.{key}", source, "-" if value is None else json.dumps(value, ensure_ascii=False)
