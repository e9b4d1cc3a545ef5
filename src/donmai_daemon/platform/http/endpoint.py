"""What a route is made of: one `Endpoint` each, from which the router and the API description are built."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from donmai_daemon.model.json import MAX_NESTING, Json, JsonObject, is_too_deep
from donmai_daemon.platform.conditions import RequestRefused
from donmai_daemon.platform.http.departure import Departure

Credential: TypeAlias = Literal["none", "key", "runtime", "key or runtime"]
"""What the bearer of a request may be: an API key, a runtime token."""

DEFAULT_BODY_LIMIT = 256 * 1024
LARGE_BODY_LIMIT = 4 * 1024 * 1024
"""For registrations and beats, which may carry a full report."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `bearer` is the credential, None without one; `prefer` is the header, "" without it.

    `departure` is the client's.
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    prefer: str
    bearer: str | None
    raw_body: bytes
    request_id: str
    departure: Departure

    def body(self) -> JsonObject:
        """The body as a JSON object; an empty one is `{}`. Raises `RequestRefused`."""
        value = read_json(self.raw_body) if self.raw_body.strip() else {}
        if not isinstance(value, dict):
            raise RequestRefused("", "the body is not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered. `body` is JSON, or bytes of another type named by `media_type`."""

    body: JsonObject | bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else _ENCODER.encode(self.body).encode()


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path: what answers it, and all that its description says.

    `operation` names it in the description and in metrics. `credential` is what it takes; the handler itself asks for
    it. `body`, `answer`, `conflict` and the values of `query` are JSON Schema; `answer` None is plain text. `refusals` are
    the statuses that only this route has reason to answer.
    """

    method: str
    path: str
    operation: str
    handler: Handler
    summary: str
    credential: Credential
    answer: JsonObject | None
    status: int = 200
    body: JsonObject | None = None
    query: Mapping[str, JsonObject] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    conflict: JsonObject | None = None
    body_limit: int = DEFAULT_BODY_LIMIT


def read_json(raw: bytes) -> Json:
    """Strict JSON: UTF-8, numbers that are some, no lone surrogates (no store could keep them).

    Raises `RequestRefused`, also where it is nested so deeply that whoever it is passed on to might not read it.
    """
    try:
        value: Json = _DECODER.decode(raw.decode("utf-8"))
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise RequestRefused("", "the body is not JSON") from error
    # Counted first: few bodies have so many brackets that they could be nested too deeply.
    if raw.count(b"[") + raw.count(b"{") > MAX_NESTING and is_too_deep(value):
        raise RequestRefused("", f"the body is nested more than {MAX_NESTING} levels deep")
    return value


def _finite(text: str) -> float:
    """1e999 is JSON, and would be infinite here: what is not JSON, once it is passed on."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large")
    return value


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


# Made once: `json.loads` and `json.dumps` make theirs anew on every call that does not have it their way.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(separators=(",", ":"))
