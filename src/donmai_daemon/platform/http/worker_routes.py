"""Routes of daemons: registration, refresh, beats."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.platform.http.answers import BEAT_ANSWER, REFRESHED, REGISTERED, REGISTERED_V1
from donmai_daemon.platform.http.bodies import ANYTHING, HEARTBEAT, HEARTBEAT_V1, REGISTER, REGISTER_V1
from donmai_daemon.platform.http.credentials import Credentials
from donmai_daemon.platform.http.endpoint import LARGE_BODY_LIMIT, Call, Endpoint, Reply
from donmai_daemon.platform.http.schema import check
from donmai_daemon.platform.service.beat_report import BeatReport, read_admission, read_beat
from donmai_daemon.platform.service.beats import Beats, Hold
from donmai_daemon.platform.service.registration import Machine, Registration
from donmai_daemon.platform.service.tokens import Claims, Minted, looks_like_jwt
from donmai_daemon.platform.settings import ServeSettings, whole_milliseconds

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})(?![0-9])", re.IGNORECASE)


class WorkerRoutes:
    """What a daemon asks of the platform, work apart."""

    def __init__(
        self, credentials: Credentials, registration: Registration, beats: Beats, settings: ServeSettings
    ) -> None:
        self._credentials = credentials
        self._registration = registration
        self._beats = beats
        self._settings = settings

    def endpoints(self) -> Sequence[Endpoint]:
        """The routes; beats first, as most requests are."""
        return (
            Endpoint(
                method="POST",
                path="/api/workers/{workerId}/heartbeat",
                operation="heartbeat",
                handler=self.heartbeat,
                summary="Say how the machine is, bring acks, receive what waits for it",
                credential="runtime",
                body=HEARTBEAT,
                answer=BEAT_ANSWER,
                refusals=(403, 404),
                body_limit=LARGE_BODY_LIMIT,
            ),
            Endpoint(
                method="POST",
                path="/v1/daemon/heartbeat",
                operation="heartbeatV1",
                handler=self.heartbeat_v1,
                summary="The same, with the worker named in the body",
                credential="runtime",
                body=HEARTBEAT_V1,
                answer=BEAT_ANSWER,
                refusals=(403, 404),
                body_limit=LARGE_BODY_LIMIT,
            ),
            Endpoint(
                method="POST",
                path="/api/workers/register",
                operation="register",
                handler=self.register,
                summary="Become the worker of a machine; intervals in the answer are milliseconds",
                credential="key",
                body=REGISTER,
                answer=REGISTERED,
                refusals=(403,),
                body_limit=LARGE_BODY_LIMIT,
            ),
            Endpoint(
                method="POST",
                path="/v1/daemon/register",
                operation="registerV1",
                handler=self.register_v1,
                summary="The same, with the registration token in the body; intervals in the answer are seconds",
                credential="none",
                body=REGISTER_V1,
                answer=REGISTERED_V1,
                refusals=(401, 403, 429),
                body_limit=LARGE_BODY_LIMIT,
            ),
            Endpoint(
                method="POST",
                path="/api/workers/{workerId}/refresh-token",
                operation="refreshToken",
                handler=self.refresh,
                summary="A fresh runtime token for the same worker",
                credential="key or runtime",
                body=ANYTHING,
                answer=REFRESHED,
                refusals=(403, 404),
            ),
        )

    async def register(self, call: Call) -> Reply:
        key = await self._credentials.key(call)
        body = call.body()
        check(REGISTER, body)
        worker = await self._registration.register(key, _machine(body, body["capacity"]))
        return Reply(
            {
                "workerId": worker.worker_id,
                "workerHostId": worker.host_id,
                "heldBeats": True,
                **self._token(worker.minted),
                **self._intervals(),
            }
        )

    async def register_v1(self, call: Call) -> Reply:
        body = call.body()
        check(REGISTER_V1, body)
        key = await self._credentials.key_of(text_or_none(body, "registrationToken"))
        worker = await self._registration.register(key, _machine(body, body["maxAgents"]))
        return Reply(
            {
                "workerId": worker.worker_id,
                "workerHostId": worker.host_id,
                "runtimeJwt": worker.minted.token.reveal(),
                "runtimeTokenExpiresAt": rfc3339(worker.minted.expires_at),
                "heartbeatIntervalSeconds": _seconds(self._settings.heartbeat_interval),
                "pollIntervalSeconds": _seconds(self._settings.poll_interval),
                "heldBeats": True,
            }
        )

    async def refresh(self, call: Call) -> Reply:
        call.body()
        worker_id = call.path["workerId"]
        if call.bearer is not None and looks_like_jwt(call.bearer):
            minted = await self._registration.refresh_by_token(await self._credentials.worker(call), worker_id)
        else:
            minted = await self._registration.refresh_by_key(await self._credentials.key(call), worker_id)
        return Reply({**self._token(minted), "expiresAt": rfc3339(minted.expires_at), **self._intervals()})

    async def heartbeat(self, call: Call) -> Reply:
        claims = await self._credentials.worker(call)
        return await self._beat(call, claims, call.path["workerId"], read_beat(call.body()))

    async def heartbeat_v1(self, call: Call) -> Reply:
        claims = await self._credentials.worker(call)
        body = call.body()
        check(HEARTBEAT_V1, body)
        return await self._beat(call, claims, str(body["workerId"]), read_beat(body))

    async def _beat(self, call: Call, claims: Claims, worker_id: str, report: BeatReport) -> Reply:
        wait = _asked_wait(call.prefer)
        hold = Hold()
        if not wait:
            return Reply(await self._beats.beat(claims, worker_id, report, wait, hold))
        with call.departure.causing(hold.end):
            answer = await self._beats.beat(claims, worker_id, report, wait, hold)
        return Reply(answer, headers={"Preference-Applied": f"wait={wait.total_seconds():g}"})

    def _token(self, minted: Minted) -> JsonObject:
        return {"runtimeToken": minted.token.reveal(), "runtimeTokenExpiresAt": rfc3339(minted.expires_at)}

    def _intervals(self) -> JsonObject:
        return {
            "heartbeatInterval": whole_milliseconds(self._settings.heartbeat_interval),
            "pollInterval": whole_milliseconds(self._settings.poll_interval),
        }


def _machine(body: JsonObject, capacity: Json) -> Machine:
    ignored: list[str] = []
    kept = ("hostInfo", "capabilities", "projectAdmissionVersion", "status", "activeAgentCount")
    return Machine(
        hostname=str(body["hostname"]),
        capacity=int(capacity) if isinstance(capacity, int | float) else 0,
        machine_id=text_or_none(body, "machineId") or None,
        version=text_or_none(body, "version"),
        region=text_or_none(body, "region"),
        # A registration names no digest, so the first beat's report is stored in its place.
        admission=read_admission(
            body.get("projectAdmissionMode"), body.get("projectIds"), body.get("daemonProjects"), None, ignored
        ),
        details={name: body[name] for name in kept if body.get(name) is not None},
    )


def _asked_wait(prefer: str) -> timedelta:
    """`wait=<seconds>` of a Prefer header (RFC 7240), zero without one."""
    found = _WAIT.search(prefer)
    return timedelta(seconds=int(found[1])) if found else timedelta()


def _seconds(span: timedelta) -> int:
    """Whole seconds, at least one, as the `/v1` routes say it."""
    return max(math.ceil(span.total_seconds()), 1)
