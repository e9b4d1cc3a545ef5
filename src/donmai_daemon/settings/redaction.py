"""The effective settings as they may be shown to anybody on this machine."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from donmai_daemon.model.json import Json, JsonObject

if TYPE_CHECKING:
    from donmai_daemon.settings.loading import Loaded

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")


def redacted_values(loaded: Loaded) -> JsonObject:
    """Every effective value by section and key, with user and password cut out of every URL."""
    shown = _shown(asdict(loaded.config))
    return shown if isinstance(shown, dict) else {}


def _shown(value: object) -> Json:
    if isinstance(value, dict):
        return {str(key): _shown(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(element) for element in value]
    if isinstance(value, str):
        return _USERINFO.sub("", value)
    return value if isinstance(value, bool | int | float) else None
