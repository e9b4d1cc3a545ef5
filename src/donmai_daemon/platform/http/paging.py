"""How many elements of a list a request asks for."""

from __future__ import annotations

from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.conditions import RequestRefused
from donmai_daemon.platform.http.endpoint import Call

MAX_LISTED = 500
_MOST_DIGITS = 9
"""With zeros in front; what is longer is not read, as reading it takes a time that grows with it."""
LIMIT: JsonObject = {"type": "integer", "minimum": 1, "maximum": MAX_LISTED}


def read_limit(call: Call, default: int) -> int:
    """`?limit=`, `default` without one. Raises `RequestRefused`."""
    text = call.query.get("limit")
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 1 <= int(text) <= MAX_LISTED:
        return int(text)
    raise RequestRefused("limit", f"must be a number from 1 to {MAX_LISTED}")
