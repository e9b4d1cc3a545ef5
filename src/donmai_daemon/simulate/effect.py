"""What a mutation does, whatever its id: the same effect twice is a change that was made twice."""

from __future__ import annotations

import hashlib
import json

from donmai_daemon.model.json import JsonObject


def effect_of(op: str, params: JsonObject) -> str:
    """A short text that is equal exactly for equal operations with equal parameters."""
    canonical = json.dumps([op, params], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:24]
