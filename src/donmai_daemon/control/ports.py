"""What the control API needs from the daemon: narrow protocols, implemented in `runtime` and joined in `compose`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from donmai_daemon.model.json import Json
from donmai_daemon.model.mutation import MutationRecord, MutationState
from donmai_daemon.model.status import BeatTrace, EffectiveSettings, LifecycleState, Preview, Snapshot

__all__ = [
    "BeatTrace",
    "EffectiveSettings",
    "LifecyclePort",
    "LifecycleState",
    "MutationsPort",
    "Preview",
    "Snapshot",
    "StatusPort",
]


class StatusPort(Protocol):
    """Reads of memory; never blocks, never waits for the platform."""

    def snapshot(self) -> Snapshot: ...

    def effective_settings(self) -> EffectiveSettings: ...


class MutationsPort(Protocol):
    """The journal, seen from the control API."""

    async def recent(self, state: MutationState | None, limit: int) -> list[MutationRecord]:
        """Newest first."""
        ...

    async def find(self, mutation_id: str) -> MutationRecord | None: ...

    async def submit(self, op: str, params: Mapping[str, Json], requested_by: str) -> MutationRecord:
        """Put a local change in the inbox. Raises `UnsupportedOperation` or `ParamsInvalid`; nothing is stored then."""
        ...

    async def preview(self, op: str, params: Mapping[str, Json]) -> Preview:
        """What `submit` would do to the file as it is now. Changes nothing. Raises as `submit` does."""
        ...


class LifecyclePort(Protocol):
    """Each returns a sentence for the person who asked. Raises `WrongState` (409) where the state forbids it."""

    async def reload(self) -> str: ...

    async def pause(self) -> str: ...

    async def resume(self) -> str: ...

    async def stop(self) -> str:
        """Begin an orderly stop and return; the process ends with exit code 0."""
        ...

    async def restart(self) -> str:
        """Begin an orderly stop that ends with exit code 3, which means: start me again."""
        ...
