"""`dev.json`: how other commands find the development environment that runs on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from donmai_daemon.cli.endpoints import home
from donmai_daemon.cli.process import is_alive
from donmai_daemon.store.atomic import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping


class DevRecord(NamedTuple):
    """What `donmai dev` tells other commands. `pid` is its own; the record means nothing once that process is gone."""

    platform_url: str
    api_key: str
    pid: int
    state_dir: str
    config_path: str
    control_url: str

    def write(self, path: Path) -> None:
        """Put the record at `path`, mode 0600, whole or not at all."""
        document = {
            "platformUrl": self.platform_url,
            "apiKey": self.api_key,
            "pid": self.pid,
            "stateDir": self.state_dir,
            "configPath": self.config_path,
            "controlUrl": self.control_url,
        }
        write_private(path, json.dumps(document, indent=2).encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> DevRecord | None:
        """The record at `path`, None where there is none or its process has ended."""
        try:
            document: object = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(document, dict):
            return None
        texts = [document.get(key) for key in ("platformUrl", "apiKey", "stateDir", "configPath", "controlUrl")]
        pid = document.get("pid")
        if not isinstance(pid, int) or not all(isinstance(text, str) for text in texts) or not is_alive(pid):
            return None
        url, key, state, config, control = map(str, texts)
        return cls(url, key, pid, state, config, control)


def default_directory(environ: Mapping[str, str]) -> Path:
    """Where `donmai dev` keeps everything, without `--dir`."""
    base = environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else home(environ) / ".local" / "state") / "donmai-dev"


def record_path(directory: Path) -> Path:
    """The record in a development directory."""
    return directory / "dev.json"
