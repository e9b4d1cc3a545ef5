"""The configuration in effect, for readers that must not wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from donmai_daemon.model.config import Config
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.notice import Notice
from donmai_daemon.settings import Loaded


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What only a start reads."""

    url: str | None
    host: str
    port: int
    socket: str | None

    @classmethod
    def of(cls, config: Config) -> _Fixed:
        control = config.control
        return cls(config.platform.url, control.host, control.port, control.socket)


_FIXED_KEYS = {
    "url": "platform.url",
    "host": "control.host",
    "port": "control.port",
    "socket": "control.socket",
}


class LiveConfig:
    """Settings as loaded last, the digest of the file they came from, and whether that file is good now.

    `on_change` is called after `adopt` brought a different configuration.
    """

    def __init__(self, loaded: Loaded, digest: str | None, conditions: Conditions) -> None:
        self.loaded = loaded
        self.digest = digest
        self.valid = True
        self.on_change = Notice()
        self._conditions = conditions
        self._fixed = _Fixed.of(loaded.config)
        self._log = structlog.get_logger("configuration")
        self._warn(loaded.warnings, known=())

    @property
    def config(self) -> Config:
        return self.loaded.config

    def adopt(self, loaded: Loaded, digest: str | None) -> None:
        """Go by `loaded` from now on, where it may be changed while running; say what needs a restart."""
        before = self.loaded
        self.loaded = loaded
        self.digest = digest
        self.valid = True
        self._conditions.clear("config_invalid")
        if loaded is before:
            return
        self._warn(loaded.warnings, known=before.warnings)
        fixed = _Fixed.of(loaded.config)
        changed = [key for name, key in _FIXED_KEYS.items() if getattr(fixed, name) != getattr(self._fixed, name)]
        if changed:
            self._conditions.set(
                "restart_required", "warning", f"changed, and read only at a start: {', '.join(changed)}"
            )
        else:
            self._conditions.clear("restart_required")
        if loaded.config != before.config:
            self._log.info("configuration.changed", digest=digest)
            self.on_change()

    def broken(self, reason: str) -> None:
        """The file cannot be used; what was loaded last stays in effect, and so does its digest."""
        self.valid = False
        self._conditions.set("config_invalid", "error", reason)

    def _warn(self, warnings: Sequence[str], known: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in known:
                self._log.warning("configuration.warning", warning=warning)
