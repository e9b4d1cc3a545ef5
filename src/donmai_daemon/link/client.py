"""The platform's routes as calls. What is sent is checked here; what comes back is read by `model`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import quote

import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.errors import ParamsInvalid, PlatformAnswerInvalid
from donmai_daemon.link.address import address_of
from donmai_daemon.link.answer import Answer
from donmai_daemon.link.transport import Sender, Transport
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.registration import (
    Refreshed,
    Registered,
    Registration,
    read_refreshed,
    read_registered,
)
from donmai_daemon.model.secret import Secret
from donmai_daemon.model.wire import BeatAnswer, read_beat_answer

BEAT_DEADLINE = 5.0
POLL_DEADLINE = 30.0
DEADLINE = 10.0
"""Seconds, for everything but beats and polls."""

MAX_TEXT_CHARS = 16 * 1024
"""Longest text of an activity or a summary: escaped in the worst way it stays below the platform's body limit."""

_MAX_NACK_BYTES = 200 * 1024
_MAX_NOTED = 256

ActivityKind: TypeAlias = Literal["thought", "action", "response", "error"]


@dataclass(frozen=True, slots=True)
class LockAnswer:
    """`refreshed` False: the lock is not ours any more. `stop`: the platform wants the session ended."""

    refreshed: bool
    stop: bool


def open_client(platform: PlatformLink, clock: Clock, version: str, environ: Mapping[str, str]) -> PlatformClient:
    """A client for `platform`, to be entered with `async with`.

    `environ` is asked for `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`. Raises `ConfigInvalid`.
    """
    transport = Transport(address_of(platform, environ), clock, user_agent(version))
    return PlatformClient(transport, environ)


def user_agent(version: str) -> str:
    """What a daemon of this version calls itself."""
    return f"donmai-daemon/{version}"


class PlatformClient:
    """One platform. Safe for many tasks at once.

    Every call raises `PlatformUnreachable`, `PlatformRefused` or `PlatformAnswerInvalid`; and `ParamsInvalid`, before
    anything is sent, where what it was given could only be refused.
    """

    def __init__(self, transport: Sender, environ: Mapping[str, str]) -> None:
        """`transport` becomes this client's own. `environ` is for settings that are adopted later."""
        self._environ = environ
        self._transport = transport
        self._noted: set[str] = set()
        self._log = structlog.get_logger("link")

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, value, trace)

    @property
    def url(self) -> str:
        """The platform's base URL, without a trailing slash."""
        return self._transport.base

    async def adopt(self, platform: PlatformLink) -> None:
        """Use these settings from the next request on, and read `ca_file` again; the URL stays as it was at the start.

        Raises `ConfigInvalid`; the old settings stay then. Requests in flight end as they began.
        """
        settings = replace(platform, url=self.url)
        await self._transport.adopt(address_of(settings, self._environ))

    async def reconnect(self) -> None:
        """Send over no connection that is open now: they may lead over a network that is gone."""
        await self._transport.reconnect()

    async def register(self, token: Secret, registration: Registration) -> Registered:
        """Become a worker."""
        answer = await self._call("POST", "/api/workers/register", token, registration.to_json())
        read = read_registered(answer.json())
        if isinstance(read, str):
            raise _invalid(read)
        self._note("register", read.ignored)
        return read

    async def refresh(self, worker_id: str, bearer: Secret) -> Refreshed:
        """Get a new runtime token for the same worker. `bearer` is the registration token."""
        path = f"/api/workers/{_segment('workerId', worker_id)}/refresh-token"
        answer = await self._call("POST", path, bearer, {})
        read = read_refreshed(answer.json())
        if isinstance(read, str):
            raise _invalid(read)
        self._note("refresh", read.ignored)
        return read

    async def heartbeat(
        self,
        worker_id: str,
        runtime_token: Secret,
        body: JsonObject,
        *,
        wait: float | None = None,
        timeout: float = BEAT_DEADLINE,  # noqa: ASYNC109 - a deadline over the answer's body too, kept by the transport
    ) -> BeatAnswer:
        """Send one beat; returns only an accepted answer.

        With `wait` (whole seconds are sent; below one second it is as None) the platform may hold the beat that long,
        and the deadline is `wait` + `timeout`.
        """
        path = f"/api/workers/{_segment('workerId', worker_id)}/heartbeat"
        held = int(wait or 0)
        headers = {"Prefer": f"wait={held}"} if held else {}
        answer = await self._call("POST", path, runtime_token, body, headers=headers, deadline=held + timeout)
        read = read_beat_answer(answer.json())
        if isinstance(read, str):
            raise _invalid(read)
        self._note("heartbeat", read.ignored)
        return read

    async def poll(self, worker_id: str, runtime_token: Secret) -> JsonObject:
        """Claim work. The answer is the claim, whatever is in it; read it one item at a time."""
        path = f"/api/workers/{_segment('workerId', worker_id)}/poll"
        return _object(await self._call("GET", path, runtime_token, None, deadline=POLL_DEADLINE))

    async def nack(self, session_id: str, runtime_token: Secret, body: JsonObject) -> None:
        """Give a claim back: `workerId`, `reason`, `work` (as it came; left out where it is too large to be taken back)."""
        _require(body, "workerId", "reason")
        if len(_encode(body)) > _MAX_NACK_BYTES:
            body = {name: value for name, value in body.items() if name != "work"}
        _done(await self._session("nack", session_id, runtime_token, body))

    async def session_status(self, session_id: str, runtime_token: Secret, body: JsonObject) -> None:
        """Report a status: `workerId`, `status`, `claimId?`, ….

        A 409 that names this very status, worker and claim is success: an earlier report arrived and its answer was lost.
        """
        _require(body, "workerId", "status")
        path = f"/api/sessions/{_segment('sessionId', session_id)}/status"
        answer = await self._send("POST", path, runtime_token, body)
        if answer.status == 409:
            stands = answer.json_or_none()
            if isinstance(stands, dict) and all(
                stands.get(name) == body.get(name) for name in ("status", "workerId", "claimId")
            ):
                return
        if not answer.success:
            raise answer.refusal(runtime_token)
        _done(answer)

    async def lock_refresh(
        self, session_id: str, runtime_token: Secret, worker_id: str, issue_id: str | None
    ) -> LockAnswer:
        """Renew the lease of a session. Without an issue the field is left out: an empty one would always be refused."""
        body: JsonObject = {"workerId": worker_id, **({"issueId": issue_id} if issue_id else {})}
        _require(body, "workerId")
        answer = _object(await self._session("lock-refresh", session_id, runtime_token, body))
        return LockAnswer(refreshed=answer.get("refreshed") is True, stop=answer.get("stop") is True)

    async def activity(
        self, session_id: str, runtime_token: Secret, worker_id: str, kind: ActivityKind, content: str
    ) -> None:
        """Tell what the agent does; nothing is sent for an empty text."""
        if not content:
            return
        body: JsonObject = {"workerId": worker_id, "activity": {"type": kind, "content": content[:MAX_TEXT_CHARS]}}
        _require(body, "workerId")
        _done(await self._session("activity", session_id, runtime_token, body))

    async def completion(self, session_id: str, runtime_token: Secret, worker_id: str, summary: str) -> None:
        """Tell what came of the session."""
        body: JsonObject = {"workerId": worker_id, "summary": summary[:MAX_TEXT_CHARS]}
        _require(body, "workerId")
        _done(await self._session("completion", session_id, runtime_token, body))

    async def session_detail(self, session_id: str, bearer: Secret) -> JsonObject:
        """Everything about one session that `bearer` may see."""
        path = f"/api/daemon/sessions/{_segment('sessionId', session_id)}"
        return _object(await self._call("GET", path, bearer, None))

    async def _session(self, what: str, session_id: str, token: Secret, body: JsonObject) -> Answer:
        return await self._call("POST", f"/api/sessions/{_segment('sessionId', session_id)}/{what}", token, body)

    async def _call(
        self,
        method: str,
        path: str,
        bearer: Secret,
        body: JsonObject | None,
        *,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
    ) -> Answer:
        answer = await self._send(method, path, bearer, body, headers=headers, deadline=deadline)
        if not answer.success:
            raise answer.refusal(bearer)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        bearer: Secret,
        body: JsonObject | None,
        *,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
    ) -> Answer:
        return await self._transport.request(
            method,
            path,
            headers={"Authorization": f"Bearer {bearer.reveal()}", **(headers or {})},
            body=None if body is None else _encode(body),
            deadline=deadline,
        )

    def _note(self, route: str, ignored: tuple[str, ...]) -> None:
        """Log what was passed over: each kind once, because a newer platform sends it with every answer."""
        new = [what for what in dict.fromkeys(ignored) if f"{route} {what}" not in self._noted]
        room = _MAX_NOTED - len(self._noted)
        if new and room > 0:
            self._noted.update(f"{route} {what}" for what in new[:room])
            self._log.warning("link.ignored", route=route, what=new[:room], count=len(ignored))


def _encode(body: JsonObject) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")


def _segment(name: str, value: str) -> str:
    """One path segment, escaped. Raises `ParamsInvalid` where it would name another path."""
    if not value or value in {".", ".."}:
        raise ParamsInvalid(name, "cannot stand in a path")
    return quote(value, safe="", errors="replace")


def _require(body: Mapping[str, Json], *names: str) -> None:
    for name in names:
        value = body.get(name)
        if not isinstance(value, str) or not value:
            raise ParamsInvalid(name, "must not be empty")


def _object(answer: Answer) -> JsonObject:
    payload = answer.json()
    if not isinstance(payload, dict):
        raise _invalid("answer is not a JSON object")
    return payload


def _done(answer: Answer) -> None:
    """A 2xx counts where it is JSON or empty. A login page is a 2xx as well."""
    if answer.body or answer.problem:
        answer.json()


def _invalid(reason: str) -> PlatformAnswerInvalid:
    return PlatformAnswerInvalid(f"the platform's {reason}")
