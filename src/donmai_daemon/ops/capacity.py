"""The local-only operation on `[capacity]`."""

from __future__ import annotations

from donmai_daemon.model.json import JsonObject
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.params import Fields
from donmai_daemon.ops.result import Changed, Result, Unchanged

_TABLE = ("capacity",)


def read_set(fields: Fields) -> JsonObject:
    return {"key": fields.choice("key", ["max_sessions"]), "value": fields.number("value", 0, 1000)}


def set_value(document: Document, params: JsonObject) -> Result:
    """Write one number of the section."""
    key, value = str(params["key"]), params["value"]
    assert isinstance(value, int), "checked parameters"
    if document.get(_TABLE) is None:
        return Changed(document.with_entry(_TABLE, [((), {key: value})]))
    there = document.get((*_TABLE, key))
    if type(there) is int and there == value:
        return Unchanged()
    return Changed(document.with_key(_TABLE, key, value))
