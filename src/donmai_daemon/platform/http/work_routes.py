"""Routes of work: polls, and everything about a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from donmai_daemon.model.json import Json, JsonObject, int_or_none, text_or_none
from donmai_daemon.model.mutation import MAX_ERROR_CHARS
from donmai_daemon.platform.http.answers import (
    ACTIVITIES,
    DETAIL,
    LOCK,
    MOVED,
    OK,
    POLLED,
    QUEUED,
    REQUEUED,
    SESSION,
    SESSION_CONFLICT,
)
from donmai_daemon.platform.http.bodies import (
    ACTIVITY,
    COMPLETION,
    LOCK_REFRESH,
    NACK,
    QUEUE_SESSION,
    SESSION_STATUS,
    work_item,
)
from donmai_daemon.platform.http.credentials import Credentials
from donmai_daemon.platform.http.endpoint import Call, Endpoint, Reply
from donmai_daemon.platform.http.paging import LIMIT, read_limit
from donmai_daemon.platform.http.schema import check
from donmai_daemon.platform.http.views import activity_view, session_view
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.records.work import SessionRecord, SessionStatus
from donmai_daemon.platform.service.callers import Voice, visible
from donmai_daemon.platform.service.details import Details
from donmai_daemon.platform.service.dispatch import Dispatch
from donmai_daemon.platform.service.keys import READERS, require
from donmai_daemon.platform.service.queue import Queue
from donmai_daemon.platform.service.sessions import Sessions
from donmai_daemon.platform.service.tokens import looks_like_jwt
from donmai_daemon.platform.service.transitions import Report


class WorkRoutes:
    """What daemons, runners and people ask about work."""

    def __init__(
        self, credentials: Credentials, queue: Queue, dispatch: Dispatch, sessions: Sessions, details: Details
    ) -> None:
        self._credentials = credentials
        self._queue = queue
        self._dispatch = dispatch
        self._sessions = sessions
        self._details = details

    def endpoints(self) -> Sequence[Endpoint]:
        one = "/api/sessions/{sessionId}"
        return (
            Endpoint(
                method="GET",
                path="/api/workers/{workerId}/poll",
                operation="poll",
                handler=self.poll,
                summary="Claim work: the answer is the claim",
                credential="runtime",
                answer=POLLED,
                refusals=(403, 404),
            ),
            Endpoint(
                method="POST",
                path=f"{one}/lock-refresh",
                operation="refreshLock",
                handler=self.refresh_lock,
                summary="Renew the lease of a session",
                credential="runtime",
                body=LOCK_REFRESH,
                answer=LOCK,
                refusals=(403, 404),
            ),
            Endpoint(
                method="POST",
                path=f"{one}/activity",
                operation="tellActivity",
                handler=self.tell,
                summary="Tell what the agent does",
                credential="runtime",
                body=ACTIVITY,
                answer=OK,
                refusals=(403, 404, 409),
                conflict=SESSION_CONFLICT,
            ),
            Endpoint(
                method="GET",
                path=f"{one}/activity",
                operation="listActivity",
                handler=self.activities,
                summary="The newest things that the agent told, oldest of them first",
                credential="key",
                query={"limit": LIMIT},
                answer=ACTIVITIES,
                refusals=(400, 403, 404),
            ),
            Endpoint(
                method="POST",
                path=f"{one}/status",
                operation="reportStatus",
                handler=self.report,
                summary="Move a session; running on a queued one is its claim",
                credential="runtime",
                body=SESSION_STATUS,
                answer=MOVED,
                refusals=(403, 404, 409),
                conflict=SESSION_CONFLICT,
            ),
            Endpoint(
                method="GET",
                path=f"{one}/status",
                operation="sessionStatus",
                handler=self.status,
                summary="How a session stands",
                credential="key or runtime",
                answer=SESSION,
                refusals=(403, 404),
            ),
            Endpoint(
                method="POST",
                path=f"{one}/nack",
                operation="refuseWork",
                handler=self.nack,
                summary="Give a claim back",
                credential="runtime",
                body=NACK,
                answer=REQUEUED,
                refusals=(403, 404, 409),
                conflict=SESSION_CONFLICT,
            ),
            Endpoint(
                method="POST",
                path=f"{one}/completion",
                operation="completeSession",
                handler=self.complete,
                summary="Tell what came of a session",
                credential="runtime",
                body=COMPLETION,
                answer=OK,
                refusals=(403, 404, 409),
                conflict=SESSION_CONFLICT,
            ),
            Endpoint(
                method="POST",
                path=f"{one}/stop",
                operation="stopSession",
                handler=self.stop,
                summary="Ask for the end of a session",
                credential="key",
                answer=SESSION,
                refusals=(403, 404),
            ),
            Endpoint(
                method="POST",
                path="/api/sessions",
                operation="queueSession",
                handler=self.put,
                summary="Queue a piece of work",
                credential="key",
                body=QUEUE_SESSION,
                status=201,
                answer=QUEUED,
                refusals=(403,),
            ),
            Endpoint(
                method="GET",
                path="/api/daemon/sessions/{sessionId}",
                operation="sessionDetail",
                handler=self.detail,
                summary="Everything about a queued session; after that, for its owner, a credential",
                credential="runtime",
                answer=DETAIL,
                refusals=(404,),
            ),
        )

    async def poll(self, call: Call) -> Reply:
        claims = await self._credentials.worker(call)
        work = await self._dispatch.poll(claims, call.path["workerId"])
        claimed: list[Json] = [item["sessionId"] for item in work if isinstance(item, dict)]
        return Reply(
            {
                "work": work,
                "hasInboxMessages": False,
                "inboxMessages": [],
                "preClaimed": True,
                "claimedSessionIds": claimed,
            }
        )

    async def put(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        require(key, READERS)
        session = await self._queue.put(key.org_id, work_item(call.body()), key.label)
        return Reply({"sessionId": session.id}, 201)

    async def status(self, call: Call) -> Reply:
        if call.bearer is not None and looks_like_jwt(call.bearer):
            claims = await self._credentials.worker(call)
            session = await self._sessions.look(call.path["sessionId"], claims)
        else:
            _, session = await self._of_reader(call)
        return Reply(session_view(session))

    async def stop(self, call: Call) -> Reply:
        key, session = await self._of_reader(call)
        return Reply(session_view(await self._queue.stop(session.id, key.label)))

    async def activities(self, call: Call) -> Reply:
        _, session = await self._of_reader(call)
        told: list[Json] = [
            activity_view(one) for one in await self._queue.activities(session.id, read_limit(call, default=100))
        ]
        return Reply({"activities": told})

    async def report(self, call: Call) -> Reply:
        voice, body = await self._voice(call, SESSION_STATUS)
        report = Report(
            cast("SessionStatus", body["status"]),
            error=(text_or_none(body, "error") or "")[:MAX_ERROR_CHARS] or None,
            exit_code=int_or_none(body, "exitCode"),
        )
        session = await self._sessions.report(call.path["sessionId"], voice, report)
        return Reply({"status": session.status, "workerId": session.worker_id, "claimId": session.claim_id})

    async def nack(self, call: Call) -> Reply:
        voice, body = await self._voice(call, NACK)
        session = await self._dispatch.nack(call.path["sessionId"], voice, str(body["reason"])[:MAX_ERROR_CHARS])
        return Reply({"requeued": session.queued})

    async def refresh_lock(self, call: Call) -> Reply:
        voice, _ = await self._voice(call, LOCK_REFRESH)
        return Reply(await self._sessions.refresh_lock(call.path["sessionId"], voice))

    async def tell(self, call: Call) -> Reply:
        voice, body = await self._voice(call, ACTIVITY)
        activity = cast("JsonObject", body["activity"])
        await self._sessions.tell(call.path["sessionId"], voice, str(activity["type"]), str(activity["content"]))
        return Reply({"ok": True})

    async def complete(self, call: Call) -> Reply:
        voice, body = await self._voice(call, COMPLETION)
        await self._sessions.complete(call.path["sessionId"], voice, str(body["summary"]))
        return Reply({"ok": True})

    async def detail(self, call: Call) -> Reply:
        claims = await self._details.recognise(call.bearer)
        self._credentials.count(claims.subject if claims.scope else "legacy")
        detail = await self._details.detail(claims, call.path["sessionId"])
        return Reply(detail, headers={"Cache-Control": "no-store"})

    async def _of_reader(self, call: Call) -> tuple[KeyRecord, SessionRecord]:
        """The key of a request, and the session that it is about."""
        key = await self._credentials.key(call)
        require(key, READERS)
        return key, visible(await self._queue.find(call.path["sessionId"]), key.org_id)

    async def _voice(self, call: Call, schema: JsonObject) -> tuple[Voice, JsonObject]:
        claims = await self._credentials.worker(call)
        body = call.body()
        check(schema, body)
        return Voice(claims, str(body["workerId"]), text_or_none(body, "claimId")), body
