"""The ASGI application: checks in their order, then the route, then one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

BODY_SECONDS = 10.0
"""A body that takes longer to arrive is given up."""

_log = structlog.get_logger()

_CLOSE = ((b"connection", b"close"),)

_STARTING = refusal(503, "starting", "daemon is still starting", ((b"retry-after", b"1"),))
_NO_ROUTE = refusal(404, "not_found", "there is nothing at this path")
_TOO_LARGE = refusal(413, "body_too_large", f"body is longer than {MAX_BODY_BYTES} bytes", _CLOSE)
_TOO_SLOW = refusal(408, "body_too_slow", f"body did not arrive within {BODY_SECONDS:g} s", _CLOSE)
_BROKEN = refusal(500, "internal_error", "internal error")


@dataclass(frozen=True, slots=True)
class _Surface:
    """What there is to serve once start-up is complete."""

    token: ControlToken
    router: Router


class ControlApp:
    """Answers 503 until `open`, so that it can be served before there is anything behind it.

    `port` is the TCP port that Host and Origin must name.
    """

    def __init__(self, port: int, clock: Clock) -> None:
        self._port = port
        self._clock = clock
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
            body = await _read_body(head, receive)
        if refused is not None or body is None:
            return refused
        assert self._surface is not None  # _admit refuses before that
        match = self._surface.router.find(scope["raw_path"])
        if match is None:
            return _NO_ROUTE
        route = match.methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is None:
            return refusal(
                405, "method_not_allowed", f"{scope['method']} is not possible here", ((b"allow", match.allow),)
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
        payload = answer.rendered if answer.rendered is not None else encode(answer.content)
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
        return Answer(None, answer.status, encode(content), answer.content_type, answer.headers)
    except DonmaiError as error:
        return failure(error)
    except Exception:  # noqa: BLE001 - the last line: whatever it is, the caller gets the one error shape
        _log.exception("control request failed", method=route.method, route=route.pattern)
        return _BROKEN


async def _read_body(head: Head, receive: ASGIReceiveCallable) -> bytes | Answer | None:
    """The body, the answer that refuses it, or None where the caller went away."""
    if head.content_length is not None and head.content_length > MAX_BODY_BYTES:
        return _TOO_LARGE
    body = bytearray()
    with anyio.move_on_after(BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message["body"]
            if len(body) > MAX_BODY_BYTES:
                return _TOO_LARGE
            if not message["more_body"]:
                return bytes(body)
    return _TOO_SLOW
