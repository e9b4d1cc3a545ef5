"""Clearing what a caller without the token must not see."""

from __future__ import annotations

import re

from donmai_daemon.model.json import Json

_SECRET_KEYS = frozenset({"body", "systemPromptOverride", "env", "authToken", "requestedBy"})
_SERVER_KEYS = frozenset({"env", "headers"})
_SERVERS = "mcpServers"
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>\\]*@")


def redact(value: Json) -> Json:
    """A copy of `value` without secrets, at any depth.

    Cleared: `prompt*`, `body`, `systemPromptOverride`, `env`, `authToken`, `requestedBy`, `headers` below
    `mcpServers`, and the userinfo of every URL in any text. A cleared value keeps its type: `""`, `{}`, `[]`, else null.
    """
    return _redact(value, _SECRET_KEYS)


def _redact(value: Json, secrets: frozenset[str]) -> Json:
    if isinstance(value, str):
        return _USERINFO.sub("", value) if "@" in value else value
    if isinstance(value, dict):
        return {
            name: _cleared(child)
            if name in secrets or name.startswith("prompt")
            else _redact(child, secrets | _SERVER_KEYS if name == _SERVERS else secrets)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [_redact(child, secrets) for child in value]
    return value


def _cleared(value: Json) -> Json:
    if isinstance(value, str):
        return ""
    if isinstance(value, dict):
        return {}
    if isinstance(value, list):
        return []
    return None
