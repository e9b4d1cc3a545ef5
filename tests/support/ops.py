"""Running operations in tests: checked, applied, and the result verified."""

from __future__ import annotations

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.registry import operation
from donmai_daemon.ops.result import Changed, Rejected, Result

URL = "https://github.com/acme/new.git"
POLICY: JsonObject = {
    "matrix": {
        "anthropic": {"byok": {"allowed": False}},
        "*": {"local": {"allowed": True, "host": "h.example", "model": "m-1", "enforce": True}},
    },
    "authOrder": ["byok", "metered"],
}


def result_of(document: Document, op: str, params: JsonObject) -> Result:
    """What the handler says, checked parameters given."""
    known = operation(op)
    assert known.apply is not None
    return known.apply(document, known.check(params).values)


def run(document: Document, op: str, **params: Json) -> Document:
    """The document after the operation, verified; the same object where nothing changed."""
    result = result_of(document, op, params)
    assert not isinstance(result, Rejected), result.error
    if not isinstance(result, Changed):
        return document
    result.document.verify()
    return result.document


def edit(data: bytes, op: str, **params: Json) -> bytes:
    """The bytes after the operation on a document of `data`."""
    return run(Document.parse(data), op, **params).data
