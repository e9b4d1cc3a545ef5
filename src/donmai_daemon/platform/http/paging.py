"""How many elements of a list a request asks for."""

from __future__ import annotations

from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.conditions import RequestRefused
from donmai_daemon.platform.http.endpoint import Call

MAX_LISTED = 500
LIMIT: JsonObject = {"type": "integer", "minimum": 1, "maximum": MAX_LISTED}


def read_limit(call: Call, default: int) -> int:
    """`?limit=`, `default` without one. Raises `RequestRefused`."""
    text = call.query.get("limit")
    if text is None:
        return default
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LISTED:
        return int(text)
    raise RequestRefused("limit", f"must be a number from 1 to {MAX_LISTED}")
