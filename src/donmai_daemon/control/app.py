"""The ASGI application: checks in their order, then the route, then one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING

import anyio
import structlog

from donmai_daemon.clock import Clock
from donmai_daemon.control.answer import EVERY_ANSWER, Answer, encode, failure, refusal
from donmai_daemon.control.guards import Head, check_host, check_method, check_origin, read_head
from donmai_daemon.control.peer import TCP_PEER, Peer
from donmai_daemon.control.redact import redact
from donmai_daemon.control.request import Caller, Request
from donmai_daemon.control.router import Route, RouteGroup, Router
from donmai_daemon.control.token import ControlToken
from donmai_daemon.errors import DonmaiError

if TYPE_CHECKING:  # uvicorn's ASGI types; the application itself runs under any server
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

MAX_BODY_BYTES = 64 * 1024
"""Longest request body."""

MAX_DISCARDED_BYTES = 1024 * 1024
"""How much of a longer one is read and thrown away before the connection is closed on it."""

BODY_SECONDS = 10.0

_log = structlog.get_logger()

_CLOSE = ((b"connection", b"close"),)

_STARTING = refusal(503, "starting", "daemon is still starting", ((b"retry-after", b"1"),))
_NO_ROUTE = refusal(404, "not_found", "there is nothing at this path")
_TOO_LARGE = refusal(413, "body_too_large", f"body is longer than {MAX_BODY_BYTES} bytes", _CLOSE)
_TOO_SLOW = refusal(408, "body_too_slow", "body did not arrive in time", _CLOSE)
_BROKEN = refusal(500, "internal_error", "internal error")


@dataclass(frozen=True, slots=True)
class _Surface:
    """What there is to serve once start-up is complete."""

    token: ControlToken
    router: Router


class ControlApp:
    """Answers 503 until `open`, so that it can be served before there is anything behind it.

    `port` is the TCP port that Host and Origin must name. A body that takes longer than `body_seconds` is given up.
    """

    def __init__(self, port: int, clock: Clock, body_seconds: float = BODY_SECONDS) -> None:
        self._port = port
        self._clock = clock
        self._body_seconds = body_seconds
        self._surface: _Surface | None = None

    def open(self, token: ControlToken, groups: Sequence[RouteGroup]) -> None:
        """Start-up is complete: serve `groups` from the next request on."""
        self._surface = _Surface(token, Router(groups))

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """One request. The protocol in front delivers nothing but HTTP."""
        assert scope["type"] == "http"
        head = read_head(scope["headers"])
        answer = await self._answer(scope, head, receive)
        if answer is not None:
            await self._send(answer, send)

    async def _answer(self, scope: HTTPScope, head: Head, receive: ASGIReceiveCallable) -> Answer | None:
        """None: the caller has gone."""
        peer = scope.get("state", {}).get("peer", TCP_PEER)
        caller, refused = self._admit(scope["method"], head, peer)
        if refused is not None and head.expects_continue:
            return refused  # the body was not sent yet, and need not be
        # A refused body is read all the same: an answer that overtakes it is lost when the connection closes.
        body: bytes | Answer | None = b""
        if head.has_body:
            body = await _read_body(head, receive, self._body_seconds)
        if refused is not None or body is None:
            return refused
        assert self._surface is not None  # _admit refuses before that
        match = self._surface.router.find(scope["raw_path"])
        if match is None:
            return _NO_ROUTE
        route = match.methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is None:
            return refusal(
                405, "method_not_allowed", "this method is not possible here", ((b"allow", match.allow),)
            )
        if isinstance(body, Answer):
            return body
        request = Request(caller, match.params, scope["query_string"], body, head.content_type)
        return await _run(route, request)

    def _admit(self, method: str, head: Head, peer: Peer) -> tuple[Caller, Answer | None]:
        nobody = Caller(trusted=False, bearer=None, name="")
        refused = (None if peer.is_unix else check_host(head, self._port)) or check_origin(head, self._port)
        if refused is not None:
            return nobody, refused
        if self._surface is None:
            return nobody, _STARTING
        bearer = head.bearer
        by_token = self._surface.token.matches(bearer)
        caller = Caller(
            trusted=by_token or peer.trusted,
            bearer=bearer.decode("ascii") if bearer is not None else None,
            name="control token" if by_token or peer.uid is None else f"uid {peer.uid}",
        )
        return caller, check_method(method, caller.trusted)

    async def _send(self, answer: Answer, send: ASGISendCallable) -> None:
        payload = answer.rendered
        assert payload is not None  # _run renders, and every refusal is rendered
        headers = [
            (b"date", formatdate(self._clock.now().timestamp(), usegmt=True).encode("ascii")),
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(payload)),
            *EVERY_ANSWER,
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": payload, "more_body": False})


async def _run(route: Route, request: Request) -> Answer:
    try:
        answer = await route.handler(request)
        if answer.rendered is not None:
            return answer
        content = answer.content if request.caller.trusted else redact(answer.content)
        return replace(answer, content=None, rendered=encode(content))
    except DonmaiError as error:
        return failure(error)
    except Exception:  # noqa: BLE001 - the last line: whatever it is, the caller gets the one error shape
        _log.exception("control.failed", method=route.method, route=route.pattern)
        return _BROKEN


async def _read_body(head: Head, receive: ASGIReceiveCallable, seconds: float) -> bytes | Answer | None:
    """The body, the answer that refuses it, or None where the caller went away.

    What is too long is still read for a while: closing on a caller that sends makes the system throw away the
    answer that the caller has not read yet.
    """
    if head.expects_continue and (head.content_length or 0) > MAX_BODY_BYTES:
        return _TOO_LARGE
    body = bytearray()
    length = 0
    with anyio.move_on_after(seconds):
        while length <= MAX_DISCARDED_BYTES:
            message = await receive()
            if message["type"] != "http.request":
                return None
            length += len(message["body"])
            if length <= MAX_BODY_BYTES:
                body += message["body"]
            if not message["more_body"]:
                return bytes(body) if length <= MAX_BODY_BYTES else _TOO_LARGE
        return _TOO_LARGE
    return _TOO_LARGE if length > MAX_BODY_BYTES else _TOO_SLOW
