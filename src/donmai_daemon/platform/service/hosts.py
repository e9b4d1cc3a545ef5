"""Hosts as operators see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from donmai_daemon.clock import Clock
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.platform.conditions import Absent
from donmai_daemon.platform.records.census import Census
from donmai_daemon.platform.records.hosts import HostRecord, Liveness, Presence
from donmai_daemon.platform.store.ports import CensusStore, HostStore, LivenessStore
from donmai_daemon.platform.wakeups import Wakeups, host_topic

_STALE_BEATS, _OFFLINE_BEATS = 3, 10
_PAGE = 1000


class HostData(HostStore, LivenessStore, CensusStore, Protocol):
    """What this service needs of a store."""


@dataclass(frozen=True, slots=True)
class HostView:
    """A host, what its newest beat said (None: it never sent one), and what follows from when that was."""

    host: HostRecord
    beat: Liveness | None
    presence: Presence

    @property
    def last_seen_at(self) -> datetime:
        """A registration counts as a sign of life."""
        return self.host.registered_at if self.beat is None else max(self.beat.seen_at, self.host.registered_at)


class Hosts:
    """Lists hosts, sets what they are told, forgets them."""

    def __init__(self, store: HostData, wakeups: Wakeups, clock: Clock, interval: timedelta) -> None:
        self._store = store
        self._wakeups = wakeups
        self._clock = clock
        self._interval = interval

    async def all(self, org_id: str | None, after: str = "", limit: int | None = None) -> list[HostView]:
        """Hosts of one organisation or of all, by id; `limit` None: all there are."""
        views: list[HostView] = []
        while limit is None or len(views) < limit:
            page = _PAGE if limit is None else min(_PAGE, limit - len(views))
            hosts = await self._store.hosts(org_id, after, page)
            beats = await self._store.liveness([host.id for host in hosts])
            views += [self._view(host, beats.get(host.id)) for host in hosts]
            if len(hosts) < page:
                break
            after = hosts[-1].id
        return views

    async def census(self) -> Census:
        """How many machines are online, stale and offline, and how much is on its way to them."""
        now = self._clock.now()
        return await self._store.census(now - self._interval * _STALE_BEATS, now - self._interval * _OFFLINE_BEATS)

    async def set_status(self, host_id: str, status: HostStatus, by: str) -> HostRecord:
        """Let beats of this host be answered with `status` from now on. Raises `Absent`."""
        host = await self._store.set_host_status(host_id, status, self._clock.now(), by)
        if host is None:
            raise Absent(f"no host {host_id}")
        await self._wakeups.publish(host_topic(host_id))
        return host

    async def remove(self, host_id: str, by: str) -> HostRecord:
        """Forget the machine; its worker is refused from now on. Raises `Absent`."""
        host = await self._store.remove_host(host_id, self._clock.now(), by)
        if host is None:
            raise Absent(f"no host {host_id}")
        await self._wakeups.publish(host_topic(host_id))
        return host

    def _view(self, host: HostRecord, beat: Liveness | None) -> HostView:
        view = HostView(host, beat, "online")
        silent = self._clock.now() - view.last_seen_at
        if silent > self._interval * _OFFLINE_BEATS:
            return HostView(host, beat, "offline")
        return HostView(host, beat, "stale") if silent > self._interval * _STALE_BEATS else view
