"""The whole route table, the description of itself included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from donmai_daemon.control.answer import Answer, encode
from donmai_daemon.control.changes import change_routes
from donmai_daemon.control.lifecycle import lifecycle_routes
from donmai_daemon.control.ports import LifecyclePort, MutationsPort, StatusPort
from donmai_daemon.control.reads import read_routes
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import Route, RouteGroup
from donmai_daemon.model.json import JsonObject


def control_routes(
    status: StatusPort,
    mutations: MutationsPort,
    lifecycle: LifecyclePort,
    more: Sequence[RouteGroup] = (),
) -> Sequence[RouteGroup]:
    """Every group, ready for `ControlApp.open`. `more` are groups of other parts of the daemon, sessions say."""

    async def openapi(_request: Request) -> Answer:
        from donmai_daemon.control.openapi import document  # large and seldom asked for: not in an idle daemon

        return Answer(rendered=encode(document(groups)))

    own = (
        *read_routes(status),
        *change_routes(mutations),
        *lifecycle_routes(lifecycle),
        Route("GET", "/openapi.json", openapi, "This description", {200: "OpenApi"}),
    )
    groups = (RouteGroup("daemon", own, _schemas), *more)
    return groups


def _schemas() -> Mapping[str, JsonObject]:
    from donmai_daemon.control.schemas import SCHEMAS  # as above

    return SCHEMAS
