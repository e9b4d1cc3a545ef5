"""Sessions and their queue in Redis.

| key | what |
|---|---|
| `work:items`, `work:claimed` | hashes: session id → payload, while it is queued; while it is claimed |
| `work:queue:<org>:<project>` | sorted set, taken from with ZPOPMIN: priority and age → `<number>:<session id>` |
| `work:projects:<org>` | the projects that may have a queue |
| `work:waiting:<org>` | ids of the sessions in the organisation's queues |
| `work:session:<id>` | the record; `revision` goes up with each change |
| `work:leases`, `work:leased:<host>` | claims by when they lapse; claims of one host |
| `work:sessions`, `work:sessions:<org>` | ids by number |
| `work:trail:<id>`, `work:activities:<id>`, `work:hidden:<id>` | transitions; what the agent told; hosts it is not offered to |

All of it is of one server, so each change is one script: whole, or not at all.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import cast
from urllib.parse import quote

from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.records.work import (
    MAX_CLAIMED_BYTES,
    Activity,
    ClaimedWork,
    ClaimRequest,
    Decision,
    SessionRecord,
)
from donmai_daemon.platform.store.codec import dump, load, milliseconds, moment
from donmai_daemon.platform.store.scaled.redis_client import Command, RedisClient
from donmai_daemon.platform.store.scaled.session_hash import decoded, encoded

_MOST_CLAIMED = 500
_KEPT_AFTER_END = timedelta(days=30)
_AGE_SPAN = 1 << 42
"""More milliseconds than since the epoch until the year 2109; times 1001 priorities it fits into a double's 53 bits."""


class RedisWork:
    """Implements `WorkStore`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def queue(self, session: SessionRecord, payload: JsonObject) -> None:
        number = await self._redis.number("INCR", "work:number")
        at = milliseconds(session.queued_at)
        commands: list[Command] = [
            ["HSET", _record(session.id), "number", number, *_pairs(session)],
            ["HSET", "work:items", session.id, dump(payload)],
            *_into_queue(session, number),
            ["ZADD", "work:sessions", number, session.id],
            ["ZADD", _of_org(session.org_id), number, session.id],
            ["RPUSH", _trail(session.id), _transition(at, session.created_by, None, session.stage)],
        ]
        await self._redis.run("change", [_record(session.id)], "", json.dumps(commands))

    async def claim(self, request: ClaimRequest) -> list[ClaimedWork]:
        if not await self._redis.number("SCARD", waiting_key(request.org_id)):
            return []
        room = min(max(request.capacity - request.active, 0), _MOST_CLAIMED)
        at = milliseconds(request.at)
        wanted: JsonObject = {
            "capacity": request.capacity,
            "most_bytes": MAX_CLAIMED_BYTES,
            "claims": [request.new_claim_id() for _ in range(room)],
            "projects": None if request.projects is None else [*sorted(request.projects)],
            "queues": _queues(request.org_id),
            "known": _projects(request.org_id),
            "waiting": waiting_key(request.org_id),
            "leased": _leased(request.host_id),
            "host": request.host_id,
            "worker": request.worker_id,
            "at": str(at),
            "lease_until": str(milliseconds(request.at + request.confirm_within)),
            "trail": _transition(at, request.worker_id, "pending", "offered"),
        }
        taken = cast("list[str]", await self._redis.run("claim", [], dump(wanted)))
        claimed = []
        for id_, claim_id, payload in zip(taken[::3], taken[1::3], taken[2::3], strict=True):
            session = await self.session(id_)
            # The claim stands whatever has become of it since; who claims it anew does so after a lapse.
            if session is not None and session.claim_id == claim_id:
                claimed.append(ClaimedWork(session, load(payload)))
        return claimed

    async def session(self, session_id: str) -> SessionRecord | None:
        found = await self._redis.fields(_record(session_id))
        return decoded(found) if found else None

    async def sessions(self, org_id: str | None, limit: int) -> list[SessionRecord]:
        index = "work:sessions" if org_id is None else _of_org(org_id)
        ids = await self._redis.texts("ZREVRANGE", index, 0, limit - 1)
        found = []
        for id_ in ids:
            session = await self.session(id_)
            if session is None:  # over for so long that it was forgotten
                await self._redis.do("ZREM", index, id_)
            else:
                found.append(session)
        return found

    async def queued_payload(self, session_id: str) -> JsonObject | None:
        payload = await self._redis.text("HGET", "work:items", session_id)
        return None if payload is None else load(payload)

    async def change(self, session_id: str, decide: Decision, at: datetime, by: str) -> SessionRecord | None:
        key = _record(session_id)
        while True:
            found = await self._redis.fields(key)
            if not found:
                return None
            before = decoded(found)
            after = decide(before)
            if after == before:
                return after
            commands = _changed(before, after, int(found["number"]), milliseconds(at), by)
            # Somebody who changed it in between has made another revision: then it is decided anew, on what there is now.
            if await self._redis.run("change", [key], found["revision"], json.dumps(commands)):
                return after

    async def hide(self, session_id: str, host_id: str, until: datetime) -> None:
        await self._redis.do("HSET", _hidden(session_id), host_id, milliseconds(until))

    async def lapsed(self, at: datetime, limit: int) -> list[SessionRecord]:
        ids = await self._redis.texts("ZRANGEBYSCORE", "work:leases", "-inf", milliseconds(at), "LIMIT", 0, limit)
        found = [await self.session(id_) for id_ in ids]
        return [session for session in found if session is not None]

    async def add_activity(self, activity: Activity, keep: int) -> None:
        key = f"work:activities:{activity.session_id}"
        told = dump({"at": milliseconds(activity.at), "kind": activity.kind, "content": activity.content})
        await self._redis.do("RPUSH", key, told)
        await self._redis.do("LTRIM", key, -keep, -1)

    async def activities(self, session_id: str, limit: int) -> list[Activity]:
        found = await self._redis.texts("LRANGE", f"work:activities:{session_id}", -limit, -1)
        return [
            Activity(session_id, moment(told["at"]), str(told["kind"]), str(told["content"]))
            for told in map(load, found)
        ]


def _changed(before: SessionRecord, after: SessionRecord, number: int, at: int, by: str) -> list[Command]:
    """What makes `after` of `before`; the payload goes where the session goes."""
    key = _record(after.id)
    commands: list[Command] = [["HSET", key, *_pairs(after)]]
    kept = encoded(after)
    if gone := [name for name in encoded(before) if name not in kept]:
        commands.append(["HDEL", key, *gone])
    if before.queued and not after.queued:
        commands += _out_of_queue(before, number)
        commands.append(
            ["HDEL", "work:items", after.id] if after.ended else ["MOVE", "work:items", "work:claimed", after.id]
        )
    elif after.queued and not before.queued:
        commands += _into_queue(after, number)
        commands.append(["MOVE", "work:claimed", "work:items", after.id])
    if before.lease_until is not None:
        commands.append(["ZREM", "work:leases", after.id])
        if before.host_id is not None:
            commands.append(["SREM", _leased(before.host_id), after.id])
    if after.lease_until is not None:
        commands.append(["ZADD", "work:leases", milliseconds(after.lease_until), after.id])
        if after.host_id is not None:
            commands.append(["SADD", _leased(after.host_id), after.id])
    was, now = before.stage, after.stage
    if was != now:
        commands.append(["RPUSH", _trail(after.id), _transition(at, by, was, now)])
    if after.ended and not before.ended:
        commands += [["HDEL", "work:claimed", after.id], ["DEL", _hidden(after.id)]]
    if after.ended:
        span = int(_KEPT_AFTER_END.total_seconds())
        commands += [["EXPIRE", name, span] for name in (key, _trail(after.id), f"work:activities:{after.id}")]
    return commands


def _into_queue(session: SessionRecord, number: int) -> list[Command]:
    score = session.priority * _AGE_SPAN + milliseconds(session.queued_at)
    return [
        ["ZADD", _queues(session.org_id) + session.project_id, str(score), _member(session.id, number)],
        ["SADD", _projects(session.org_id), session.project_id],
        ["SADD", waiting_key(session.org_id), session.id],
    ]


def _out_of_queue(session: SessionRecord, number: int) -> list[Command]:
    return [
        ["ZREM", _queues(session.org_id) + session.project_id, _member(session.id, number)],
        ["SREM", waiting_key(session.org_id), session.id],
    ]


def _pairs(session: SessionRecord) -> Command:
    return [part for pair in encoded(session).items() for part in pair]


def _transition(at: int, by: str, came_from: str | None, went_to: str) -> str:
    return dump({"at": at, "by": by, "from": came_from, "to": went_to})


def _member(session_id: str, number: int) -> str:
    """Of two with one score, the one that sorts first was queued first."""
    return f"{number:016x}:{session_id}"


def _record(session_id: str) -> str:
    return f"work:session:{session_id}"


def _trail(session_id: str) -> str:
    return f"work:trail:{session_id}"


def _hidden(session_id: str) -> str:
    return f"work:hidden:{session_id}"


def _leased(host_id: str) -> str:
    return f"work:leased:{host_id}"


def _queues(org_id: str) -> str:
    """What the queues of an organisation begin with. Quoted: else org `a` with project `b:c` were org `a:b` with `c`."""
    return f"work:queue:{quote(org_id, safe='')}:"


def _projects(org_id: str) -> str:
    return f"work:projects:{org_id}"


def waiting_key(org_id: str) -> str:
    """The set of sessions in the queues of an organisation."""
    return f"work:waiting:{org_id}"


def _of_org(org_id: str) -> str:
    return f"work:sessions:{org_id}"
