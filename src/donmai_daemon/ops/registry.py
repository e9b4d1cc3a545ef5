"""Every operation there is, and how to find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from donmai_daemon.errors import EditRefused, UnsupportedOperation
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import MAX_ERROR_CHARS, Lane
from donmai_daemon.ops import capacity, host, model_access, projects
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.params import Fields, read
from donmai_daemon.ops.result import Rejected, Result

Handler: TypeAlias = Callable[[Document, JsonObject], Result]


@dataclass(frozen=True, slots=True)
class CheckedParams:
    """Parameters that were found good. `ignored` names the unknown keys that were left out."""

    values: JsonObject
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `apply` is None in the host lane: those effects are not edits of the file.

    `check` raises `ParamsInvalid`. `apply` expects values that `check` returned.
    `remote` is False for operations only this machine may ask for.
    """

    name: str
    lane: Lane
    check: Callable[[Mapping[str, Json]], CheckedParams]
    apply: Handler | None
    remote: bool = True


def _operation(
    name: str, reader: Callable[[Fields], JsonObject], handler: Handler | None = None, *, remote: bool = True
) -> Operation:
    def check(source: Mapping[str, Json]) -> CheckedParams:
        return CheckedParams(*read(source, reader))

    if handler is None:
        return Operation(name, "host", check, None, remote)
    handle = handler

    def apply(document: Document, params: JsonObject) -> Result:
        try:
            return handle(document, params)
        except EditRefused as error:
            return Rejected(str(error)[:MAX_ERROR_CHARS])

    return Operation(name, "config", check, apply, remote)


_OPERATIONS = {
    known.name: known
    for known in (
        _operation("project.add", projects.read_add, projects.add),
        _operation("project.remove", projects.read_id, projects.remove),
        _operation("project.enable", projects.read_id, projects.enable),
        _operation("project.disable", projects.read_id, projects.disable),
        _operation("modelAccess.set", model_access.read_set, model_access.set_policy),
        _operation("modelAccess.clear", model_access.read_clear, model_access.clear),
        _operation("capacity.set", capacity.read_set, capacity.set_value, remote=False),
        _operation("pool.deleted", host.read_pool_deleted),
        _operation("session.kill", host.read_session_kill),
    )
}


def operation(name: str) -> Operation:
    """The operation called `name`. Raises `UnsupportedOperation`."""
    try:
        return _OPERATIONS[name]
    except KeyError:
        raise UnsupportedOperation(name) from None


def remote_operations() -> tuple[str, ...]:
    """Names of the operations a platform may ask for: what `[remote]` can speak of."""
    return tuple(known.name for known in _OPERATIONS.values() if known.remote)
