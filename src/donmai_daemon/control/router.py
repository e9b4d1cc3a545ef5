"""The route table: routes as data, and finding the one that a path means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from donmai_daemon.control.answer import Answer
from donmai_daemon.control.request import Request
from donmai_daemon.model.json import JsonObject

Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]
SchemaLoader: TypeAlias = Callable[[], Mapping[str, JsonObject]]

MAX_SEGMENT_CHARS = 512
"""Longest identifier there is (limits of the operations); a longer path segment names nothing."""


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """One query parameter, for the description of the API. `schema` is a JSON Schema."""

    name: str
    schema: JsonObject
    description: str


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path.

    `pattern` is a path whose segments may be `{name}`. `answers` maps a status to the name of a schema, or to a
    media type for text. `refusals` are the statuses of the error shape that this route has beside those every
    route has. `body` names the schema of the request, None where it takes none.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    pattern: str
    handler: Handler
    summary: str
    answers: Mapping[int, str]
    refusals: tuple[int, ...] = ()
    body: str | None = None
    body_required: bool = True
    query: tuple[QueryParameter, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """Routes that belong together. `schemas` loads what their `answers` and `body` name; called only to describe the API."""

    name: str
    routes: Sequence[Route]
    schemas: SchemaLoader


@dataclass(frozen=True, slots=True)
class Match:
    """The routes on one path, by method, and the path's parameters."""

    methods: Mapping[str, Route]
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def allow(self) -> bytes:
        """The Allow header: HEAD goes with GET."""
        names = set(self.methods) | ({"HEAD"} if "GET" in self.methods else set())
        return ", ".join(sorted(names)).encode("ascii")


class Router:
    """Finds routes. A path without parameters wins over one with. Raises `ValueError` for two routes on one place."""

    def __init__(self, groups: Sequence[RouteGroup]) -> None:
        table: dict[str, dict[str, Route]] = {}
        for route in (route for group in groups for route in group.routes):
            methods = table.setdefault(route.pattern, {})
            if route.method in methods:
                raise ValueError(f"two routes for {route.method} {route.pattern}")
            methods[route.method] = route
        self._fixed = {
            pattern.encode("ascii"): Match(methods) for pattern, methods in table.items() if "{" not in pattern
        }
        self._variable = [(pattern.split("/"), methods) for pattern, methods in table.items() if "{" in pattern]

    def find(self, raw_path: bytes) -> Match | None:
        """What is at `raw_path`, the path as it came, not percent-decoded."""
        fixed = self._fixed.get(raw_path)
        if fixed is not None:
            return fixed
        segments = raw_path.split(b"/")
        for pattern, methods in self._variable:
            if len(pattern) == len(segments):
                params = _fit(pattern, segments)
                if params is not None:
                    return Match(methods, params)
        return None


def _fit(pattern: Sequence[str], segments: Sequence[bytes]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for expected, raw in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            try:
                value = unquote_to_bytes(raw).decode("utf-8")
            except UnicodeDecodeError:
                return None
            if not 0 < len(value) <= MAX_SEGMENT_CHARS:
                return None
            params[expected[1:-1]] = value
        elif raw != expected.encode("ascii"):
            return None
    return params
