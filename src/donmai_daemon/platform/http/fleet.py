"""Numbers for Prometheus about the whole platform, read from the store: the same at each process that serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from donmai_daemon.model.exposition import Sample, family
from donmai_daemon.platform.conditions import StoreUnavailable
from donmai_daemon.platform.records.census import Census
from donmai_daemon.platform.service.hosts import Hosts

_FRESH_SECONDS = 5.0


class Fleet:
    """Reads the store when somebody asks, however many ask at most once in five seconds: nobody needs a key to ask."""

    def __init__(self, hosts: Hosts, now: Callable[[], float]) -> None:
        """`now` is a monotonic clock in seconds."""
        self._hosts = hosts
        self._now = now
        self._census: Census | None = None
        self._fresh_until = now()

    async def text(self) -> str:
        """In Prometheus' text format; a store that does not answer is told, and its numbers are left out."""
        now = self._now()
        if now >= self._fresh_until:
            self._fresh_until = now + _FRESH_SECONDS
            try:
                self._census = await self._hosts.census()
            except StoreUnavailable:
                self._census = None
        return "".join(_families(self._census))


def _families(census: Census | None) -> Iterator[str]:
    up = [Sample(census is not None)]
    yield family("donmai_platform_store_up", "gauge", "1 when the store answered the newest look at it.", up)
    if census is None:
        return
    hosts = {"online": census.online, "stale": census.stale, "offline": census.offline}
    mutations = {"pending": census.pending, "delivered": census.delivered}
    sessions = {"queued": census.queued, "claimed": census.claimed}
    yield _by("donmai_platform_hosts", "Machines by when they last beat.", "status", hosts)
    yield _by("donmai_platform_mutations", "Mutations that are not settled.", "status", mutations)
    yield _by("donmai_platform_sessions", "Sessions that wait, and that a worker has.", "state", sessions)


def _by(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> str:
    return family(name, "gauge", meaning, [Sample(count, {label: value}) for value, count in counts.items()])
