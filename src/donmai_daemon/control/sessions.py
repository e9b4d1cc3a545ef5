"""Routes of sessions: list, start, stop, and the detail, which is whole only for those it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from donmai_daemon.control.answer import Answer, encode, refusal
from donmai_daemon.control.redact import redact
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import Route, RouteGroup
from donmai_daemon.errors import PlatformUnreachable, RequestInvalid
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.session import Refusal, SessionHandle, StopReport

MAX_DRAIN_SECONDS = 86400
"""As `[agent] drain_timeout_seconds`."""

_RETRY = ((b"retry-after", b"5"),)
_STATUS: Mapping[str, int] = {
    "invalid_work": 400,
    "project_not_allowed": 400,
    "repository_not_allowed": 400,
    "access_denied": 403,
    "duplicate_session": 409,
    "at_capacity": 503,
    "not_accepting": 503,
    "start_failed": 503,
}


class SessionsPort(Protocol):
    """The sessions of this host, seen from the control API."""

    def handles(self) -> list[SessionHandle]:
        """Those not yet done with, oldest first."""
        ...

    async def start(self, work: JsonObject) -> SessionHandle | Refusal:
        """Admit and start, by the same rules as for work that was polled."""
        ...

    async def stop(self, session_id: str) -> StopReport:
        """End one session. Never fails, and may be asked again."""
        ...

    def may_read(self, session_id: str, bearer: str | None) -> bool:
        """Whether `bearer` is the read token of this very session, compared in constant time."""
        ...

    def detail(self, session_id: str) -> JsonObject | None:
        """The detail without credentials; None where no such session is known, or it has ended."""
        ...

    async def full_detail(self, session_id: str) -> JsonObject | None:
        """The detail with credentials that are fresh. Raises `PlatformUnreachable` where there are none to be had."""
        ...


class DrainPort(Protocol):
    """Draining this host."""

    async def begin(self, seconds: float | None) -> str:
        """Begin, and say so; None: the configured time. Raises `WrongState` where the state forbids it."""
        ...


def session_routes(port: SessionsPort, draining: DrainPort) -> RouteGroup:
    """The group to hand to `control_routes`."""

    async def listed(_request: Request) -> Answer:
        handles: list[Json] = [handle.to_json() for handle in port.handles()]
        return Answer({"sessions": handles})

    async def start(request: Request) -> Answer:
        started = await port.start(request.object())
        if isinstance(started, Refusal):
            status = _STATUS[started.code]
            return refusal(status, started.code, started.reason, _RETRY if status == 503 else ())
        handle = started.to_json()
        return Answer({name: handle[name] for name in ("sessionId", "acceptedAt", "state", "pid")}, 202)

    async def stop(request: Request) -> Answer:
        request.fields("reason")
        return Answer((await port.stop(request.params["id"])).to_json())

    async def detail(request: Request) -> Answer:
        session_id = request.params["id"]
        caller = request.caller
        whole = caller.trusted or port.may_read(session_id, caller.bearer)
        try:
            found = await port.full_detail(session_id) if whole else port.detail(session_id)
        except PlatformUnreachable as error:
            return refusal(503, error.code, error.message, _RETRY)
        if found is None:
            told = {"error": "session not found", "code": "session_not_found", "sessionId": session_id}
            return Answer(rendered=encode(dict(told)), status=404)
        return Answer(rendered=encode(found if whole else redact(found)))

    async def drain(request: Request) -> Answer:
        seconds = request.fields("timeoutSeconds").get("timeoutSeconds")
        if seconds is not None and (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 <= seconds <= MAX_DRAIN_SECONDS
        ):
            raise RequestInvalid(f"timeoutSeconds: must be a number from 0 to {MAX_DRAIN_SECONDS}")
        return Answer({"ok": True, "message": await draining.begin(seconds)})

    one = "/api/daemon/sessions/{id}"
    return RouteGroup(
        "sessions",
        (
            Route("GET", "/api/daemon/sessions", listed, "Sessions of this host", {200: "Sessions"}),
            Route(
                "POST", "/api/daemon/sessions", start, "Start a session", {202: "SessionAccepted"},
                refusals=(400, 403, 409, 503), body="SessionWork",
            ),
            Route(
                "GET", one, detail, "One session: whole for the control token and for the session's own read token",
                {200: "SessionDetail"}, refusals=(404, 503),
            ),
            Route(
                "POST", f"{one}/stop", stop, "End a session, and say how it ended", {200: "SessionStopped"},
                refusals=(400,), body="SessionStop", body_required=False,
            ),
            Route(
                "POST", "/api/daemon/drain", drain, "Take no more work, let sessions end, then end what is left",
                {200: "Drain"}, refusals=(400, 409), body="DrainRequest", body_required=False,
            ),
        ),
        _schemas,
    )  # fmt: skip


def _schemas() -> Mapping[str, JsonObject]:
    from donmai_daemon.control.session_schemas import SCHEMAS  # large and seldom asked for

    return SCHEMAS
