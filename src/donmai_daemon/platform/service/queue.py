"""The queue of each organisation, from the side of people: put work in, see what became of it, stop it."""

from __future__ import annotations

import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.conditions import Absent
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.work import Activity, SessionRecord
from donmai_daemon.platform.service.transitions import stop_asked
from donmai_daemon.platform.store.ports import WorkStore
from donmai_daemon.platform.wakeups import Wakeups, work_topic

DEFAULT_PRIORITY = 3
"""Lower is sooner."""

WOKEN_PER_ITEM = 8
"""Held beats that one new item ends in each process: enough that one of those hosts takes it, and no stampede of all."""


class Queue:
    """Queues, shows and stops sessions."""

    def __init__(self, store: WorkStore, wakeups: Wakeups, clock: Clock, names: Names) -> None:
        self._store = store
        self._wakeups = wakeups
        self._clock = clock
        self._names = names
        self._log = structlog.get_logger("platform.queue")

    async def put(self, org_id: str, item: JsonObject, by: str) -> SessionRecord:
        """Queue a work item. `item` has passed its schema and names a `projectId`."""
        now = self._clock.now()
        priority = item.get("priority")
        session = SessionRecord(
            id=self._names.new("ses"),
            org_id=org_id,
            project_id=str(item["projectId"]),
            status="pending",
            queued=True,
            priority=int(priority) if isinstance(priority, int | float) else DEFAULT_PRIORITY,
            queued_at=now,
            created_by=by,
        )
        payload: JsonObject = {
            **item,
            "sessionId": session.id,
            "organizationId": org_id,
            "priority": session.priority,
            "queuedAt": int(now.timestamp() * 1000),
        }
        await self._store.queue(session, payload)
        self._log.info("work.queued", session=session.id, org=org_id, project=session.project_id)
        await self._wakeups.publish(work_topic(org_id), WOKEN_PER_ITEM)
        return session

    async def find(self, session_id: str) -> SessionRecord | None:
        """The session, of whatever organisation."""
        return await self._store.session(session_id)

    async def activities(self, session_id: str, limit: int) -> list[Activity]:
        """The newest things that its agent told, oldest of them first."""
        return await self._store.activities(session_id, limit)

    async def recent(self, org_id: str | None, limit: int) -> list[SessionRecord]:
        """Newest first; of all organisations where `org_id` is None."""
        return await self._store.sessions(org_id, limit)

    async def stop(self, session_id: str, by: str) -> SessionRecord:
        """Ask for the end of a session. Asking again changes nothing. Raises `Absent`."""
        now = self._clock.now()
        session = await self._store.change(session_id, lambda s: stop_asked(s, now), now, by)
        if session is None:
            raise Absent("no such session")
        self._log.info("work.stop_asked", session=session_id, status=session.status, by=by)
        return session
