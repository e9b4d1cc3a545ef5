"""The ASGI application: reads a request, calls the endpoint's handler, turns what it raises into one shape of error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import structlog
from starlette.routing import compile_path
from starlette.types import Message, Receive, Scope, Send

from donmai_daemon.platform.conditions import (
    BodyTooLarge,
    PlatformCondition,
    RequestRefused,
    StoreUnavailable,
    TooManyRequests,
    Unauthorized,
)
from donmai_daemon.platform.http.credentials import bearer_of
from donmai_daemon.platform.http.endpoint import Call, Endpoint, Reply
from donmai_daemon.platform.http.metrics import Metrics
from donmai_daemon.platform.http.protocol import DEPARTURE
from donmai_daemon.platform.identifiers import Names

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Resource:
    """One path and its methods."""

    def __init__(self, endpoints: Mapping[str, Endpoint], names: Names, metrics: Metrics) -> None:
        self._endpoints = endpoints
        self._allowed = ", ".join(sorted({*endpoints, *(["HEAD"] if "GET" in endpoints else [])}))
        self._names = names
        self._metrics = metrics
        self._log = structlog.get_logger("platform.http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else self._names.new("req")
        structlog.contextvars.bind_contextvars(request=request_id)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            self._metrics.unrouted(405)
            reply = _error(405, "method not allowed", {"Allow": self._allowed})
            await _send(send, reply, request_id)
            return
        with self._metrics.timed(endpoint.operation) as timing:
            try:
                raw = await _read_body(receive, headers, endpoint.body_limit)
                reply = await endpoint.handler(_call(scope, headers, raw, request_id))
            except PlatformCondition as condition:
                reply = _refusal(condition)
                if isinstance(condition, StoreUnavailable):
                    self._metrics.store_errors.add()
                self._log.info(
                    "request.refused", operation=endpoint.operation, status=reply.status, reason=condition.message
                )
            except Exception as error:  # noqa: BLE001 - the last resort: the client gets an answer, the log the reason
                self._log.error("request.failed", operation=endpoint.operation, exc_info=error)
                reply = _error(500, "internal error")
            timing.status, timing.held = reply.status, "Preference-Applied" in reply.headers
            await _send(send, reply, request_id)


class App:
    """The application of `endpoints`; where two paths match, the one that comes first has it."""

    def __init__(self, endpoints: Sequence[Endpoint], names: Names, metrics: Metrics) -> None:
        paths: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        self._resources = [
            (compile_path(path)[0], Resource(methods, names, metrics)) for path, methods in paths.items()
        ]
        self._names = names
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for path, resource in self._resources:
            if (matched := path.fullmatch(scope["path"])) is not None:
                scope["path_params"] = matched.groupdict()
                await resource(scope, receive, send)
                return
        self._metrics.unrouted(404)
        await _send(send, _error(404, "no such route"), self._names.new("req"))


def _call(scope: Scope, headers: Mapping[bytes, bytes], raw: bytes, request_id: str) -> Call:
    query = scope["query_string"]
    return Call(
        method=scope["method"],
        path=scope["path_params"],
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {},
        prefer=headers.get(b"prefer", b"").decode("latin-1"),
        bearer=bearer_of(headers.get(b"authorization", b"").decode("latin-1")),
        raw_body=raw,
        request_id=request_id,
        departure=scope["extensions"][DEPARTURE]["of"],
    )


async def _read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            # Nobody reads this. But what has come of the body must not be taken for all of it.
            raise RequestRefused("", "the body ended early")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _refusal(condition: PlatformCondition) -> Reply:
    headers: dict[str, str] = {}
    if isinstance(condition, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(condition, TooManyRequests):
        headers["Retry-After"] = str(max(math.ceil(condition.retry_after), 1))
    if condition.status == 503:
        headers["Retry-After"] = "1"
    body = getattr(condition, "body", None)
    return Reply(
        dict(body) if body is not None else {"error": condition.message}, condition.status, headers=headers
    )


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply({"error": text}, status, headers=headers or {})


async def _send(send: Send, reply: Reply, request_id: str) -> None:
    content = reply.content()
    headers = [
        (b"content-type", reply.media_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"x-request-id", request_id.encode()),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
