"""Every operation there is, and how to find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import Lane
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.result import Result


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
    apply: Callable[[Document, JsonObject], Result] | None
    remote: bool = True


def operation(name: str) -> Operation:
    """The operation called `name`. Raises `UnsupportedOperation`."""
    raise NotImplementedError
