"""What beats say about themselves: in Redis, for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from donmai_daemon.platform.records.hosts import Liveness
from donmai_daemon.platform.settings import whole_milliseconds
from donmai_daemon.platform.store.codec import liveness, stored_liveness
from donmai_daemon.platform.store.scaled.gathered import Gathered
from donmai_daemon.platform.store.scaled.redis_client import RedisClient

_KEPT = timedelta(days=7)
SEEN = "liveness:seen"
"""Sorted set of all hosts that have beaten lately, by when: counting them must not take reading them."""


class RedisLiveness:
    """Implements `LivenessStore`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._notes = Gathered(self._note)

    async def note(self, beat: Liveness, outdated_within: timedelta) -> bool:
        return await self._notes.one((beat, outdated_within))

    async def liveness(self, host_ids: Sequence[str]) -> Mapping[str, Liveness]:
        if not host_ids:
            return {}
        found = cast("list[str | None]", await self._redis.do("MGET", *map(_key, host_ids)))
        return {
            host_id: liveness(host_id, kept)
            for host_id, kept in zip(host_ids, found, strict=True)
            if kept is not None
        }

    async def _note(self, notes: Sequence[tuple[Liveness, timedelta]]) -> list[bool]:
        # Decided by the script, in one step: whoever reads, decides and writes can be overtaken.
        arguments: list[str | int] = [whole_milliseconds(_KEPT)]
        for beat, within in notes:
            arguments += [beat.host_id, whole_milliseconds(within), stored_liveness(beat)]
        keys = [SEEN, *(_key(beat.host_id) for beat, _ in notes)]
        return [kept == 1 for kept in cast("list[int]", await self._redis.run("note", keys, *arguments))]


def _key(host_id: str) -> str:
    return f"liveness:{host_id}"
