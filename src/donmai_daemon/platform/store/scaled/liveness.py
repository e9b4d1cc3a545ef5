"""What beats say about themselves: in Redis, for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from donmai_daemon.platform.records.hosts import Liveness, is_outdated
from donmai_daemon.platform.settings import whole_milliseconds
from donmai_daemon.platform.store.codec import liveness, milliseconds, stored_liveness
from donmai_daemon.platform.store.scaled.redis_client import RedisClient

_KEPT = timedelta(days=7)
SEEN = "liveness:seen"
"""Sorted set of all hosts that have beaten lately, by when: counting them must not take reading them."""


class RedisLiveness:
    """Implements `LivenessStore`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def note(self, beat: Liveness, outdated_within: timedelta) -> bool:
        key, new, seen = _key(beat.host_id), stored_liveness(beat), milliseconds(beat.seen_at)
        while True:
            # Decided here and replaced there only where nobody has replaced it in between.
            kept = await self._redis.text("GET", key) or ""
            if is_outdated(beat, liveness(beat.host_id, kept) if kept else None, outdated_within):
                return False
            if await self._redis.run(
                "put_if", [key, SEEN], kept, new, whole_milliseconds(_KEPT), beat.host_id, seen
            ):
                return True

    async def liveness(self, host_ids: Sequence[str]) -> Mapping[str, Liveness]:
        if not host_ids:
            return {}
        found = cast("list[str | None]", await self._redis.do("MGET", *map(_key, host_ids)))
        return {
            host_id: liveness(host_id, kept)
            for host_id, kept in zip(host_ids, found, strict=True)
            if kept is not None
        }


def _key(host_id: str) -> str:
    return f"liveness:{host_id}"
