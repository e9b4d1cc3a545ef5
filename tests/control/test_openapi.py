"""The API describes itself, completely and truly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from structlog.testing import capture_logs
from tests.support.control import DIGITS, Reply, StandInDaemon, Surface, snapshot, surface

from donmai_daemon.control.answer import Answer
from donmai_daemon.control.openapi import document
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import Route, RouteGroup
from donmai_daemon.control.routes import control_routes
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.wire import HostStatus

DAEMON = StandInDaemon()
GROUPS = control_routes(DAEMON, DAEMON, DAEMON)
DOCUMENT = document(GROUPS)
GOOD = {"op": "project.add", "params": {"id": "a"}}

# Every route of the contract that this version serves.
CONTRACT = {
    "GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json",
    "GET /api/daemon/status", "GET /api/daemon/stats", "GET /api/daemon/heartbeat", "GET /api/daemon/doctor",
    "GET /api/daemon/config", "GET /api/daemon/mutations", "GET /api/daemon/mutations/{id}",
    "POST /api/daemon/mutations", "POST /api/daemon/mutations/{id}/approve", "POST /api/daemon/mutations/{id}/reject",
    "POST /api/daemon/reload", "POST /api/daemon/pause", "POST /api/daemon/resume", "POST /api/daemon/stop",
    "POST /api/daemon/restart", "POST /api/daemon/capacity",
}  # fmt: skip


def member(value: Json, *names: str) -> JsonObject:
    for name in names:
        assert isinstance(value, dict), name
        value = value[name]
    assert isinstance(value, dict)
    return value


def resolved(value: JsonObject) -> JsonObject:
    reference = value.get("$ref")
    return member(DOCUMENT, *reference.removeprefix("#/").split("/")) if isinstance(reference, str) else value


def unforeseen(reply: Reply, method: str, pattern: str) -> str | None:
    """What the document says otherwise about this answer."""
    responses = member(DOCUMENT, "paths", pattern, method.lower(), "responses")
    if str(reply.status) not in responses:
        return f"{method} {pattern} answered {reply.status}: {reply.body!r}"
    content = member(resolved(member(responses, str(reply.status))), "content")
    media_type = reply.headers["content-type"].partition(";")[0]
    schema = member(content, media_type, "schema")
    if media_type == "application/json":
        whole: JsonObject = {**schema, "components": member(DOCUMENT, "components")}
        for error in OAS31Validator(whole, format_checker=oas31_format_checker).iter_errors(reply.json):
            return f"{method} {pattern} answered {reply.status}: {error.message}"
    return None


def test_the_document_is_valid_openapi() -> None:
    """It is what it says: OpenAPI 3.1, with every reference resolving."""
    assert DOCUMENT["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(json.loads(json.dumps(DOCUMENT))).validate()


def test_every_route_is_described_and_none_besides() -> None:
    """The document, the route table and the contract list the same operations."""
    described = {
        f"{method.upper()} {pattern}"
        for pattern, item in member(DOCUMENT, "paths").items()
        for method in member(item)
    }
    assert described == {f"{route.method} {route.pattern}" for group in GROUPS for route in group.routes}
    assert described == CONTRACT


def test_every_operation_has_a_name_of_its_own() -> None:
    """Generated clients need distinct operation ids."""
    identifiers = [
        member(op)["operationId"] for item in member(DOCUMENT, "paths").values() for op in member(item).values()
    ]
    assert len(set(map(str, identifiers))) == len(identifiers)
    assert all(re.fullmatch("[a-z][A-Za-z0-9]+", str(identifier)) for identifier in identifiers)


def test_security_is_told_for_every_route() -> None:
    """Reading needs nothing, changing needs the control token."""
    for item in member(DOCUMENT, "paths").values():
        for method, operation in member(item).items():
            security = member(operation)["security"]
            assert security == ([{}, {"controlToken": []}] if method == "get" else [{"controlToken": []}])


def test_other_groups_are_described_with_their_own_schemas() -> None:
    """Routes that another part of the daemon brings get their schemas, parameters and refusals."""

    async def handler(_request: Request) -> Answer:
        return Answer({})

    def schemas() -> Mapping[str, JsonObject]:
        return {"Thing": {"type": "object"}}

    route = Route(
        "DELETE", "/api/daemon/things/{id}", handler, "Remove", {200: "Thing"}, refusals=(409,), body="Thing",
        body_required=False,
    )  # fmt: skip
    extended = document([*GROUPS, RouteGroup("things", [route], schemas)])
    OpenAPIV31SpecValidator(json.loads(json.dumps(extended))).validate()
    operation = member(extended, "paths", "/api/daemon/things/{id}", "delete")
    assert operation["operationId"] == "deleteThingsId"
    assert operation["tags"] == ["things"]
    assert {"200", "401", "409"} <= set(member(operation, "responses"))
    assert member(operation, "requestBody")["required"] is False


@pytest.mark.anyio
async def test_every_answer_is_as_described(tmp_path: Path) -> None:
    """Every route, asked well and badly, with the token and without, answers what the document says."""
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/openapi.json")).json == DOCUMENT
        for group in GROUPS:
            for route in group.routes:
                for reply in await _tried(served, route):
                    assert unforeseen(reply, route.method, route.pattern) is None


@pytest.mark.anyio
async def test_every_answer_is_as_described_in_bad_times(tmp_path: Path) -> None:
    """Also while starting, when states forbid things, when fields are null, and when the daemon is at fault."""
    full = snapshot()
    bare = replace(
        full, lifecycle="draining", worker_id=None, host_status=HostStatus("pool_deleted", "move", ("p1", "p2")),
        config_digest=None, config_valid=False, conditions=(), applied_project_ids=(),
        beat=replace(full.beat, ready=False, last_sent_at=None, last_accepted_at=None, last_body=None, last_answer=None),
    )  # fmt: skip
    daemon = StandInDaemon(now=bare, forbidden="not now")
    async with surface(tmp_path, daemon, started=False) as served:
        for group in GROUPS:
            for route in group.routes:
                path = route.pattern.replace("{id}", "mut_1")
                reply = await served.ask(route.method, path, token=DIGITS)
                assert unforeseen(reply, route.method, route.pattern) is None
        served.open()
        for daemon.broken in (False, True):
            with capture_logs():
                for group in GROUPS:
                    for route in group.routes:
                        for reply in await _tried(served, route):
                            assert unforeseen(reply, route.method, route.pattern) is None


async def _tried(served: Surface, route: Route) -> list[Reply]:
    replies = []
    for identifier in ("mut_1", "no%2Fsuch"):
        path = route.pattern.replace("{id}", identifier)
        replies += [
            await served.ask(route.method, path, token=DIGITS),
            await served.ask(route.method, path),
            await served.ask(route.method, path, headers={"Host": "evil.test"}),
        ]
        if route.method == "GET":
            replies.append(await served.ask("GET", f"{path}?limit=x", token=DIGITS))
            continue
        for body in (
            GOOD,
            {**GOOD, "dryRun": True},
            {"key": "a", "value": 1},
            {"op": "?"},
            b"{",
            b" " * 70_000,
            {},
        ):
            replies.append(await served.ask(route.method, path, body, token=DIGITS))
    return replies


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "body", "valid"),
    [
        ("Submission", GOOD, True),
        ("Submission", {**GOOD, "dryRun": True}, True),
        ("Submission", {**GOOD, "dryRun": "yes"}, False),
        ("Submission", {**GOOD, "dryrun": True}, False),
        ("Submission", {"op": "project.add"}, False),
        ("CapacityChange", {"key": "a", "value": None}, True),
        ("CapacityChange", {"key": "a"}, False),
    ],
)
async def test_a_request_is_valid_where_it_is_taken(
    tmp_path: Path, name: str, body: JsonObject, valid: bool
) -> None:
    """The schema of a request and the daemon agree on what is one."""
    path = {"Submission": "/api/daemon/mutations", "CapacityChange": "/api/daemon/capacity"}[name]
    assert OAS31Validator(member(DOCUMENT, "components", "schemas", name)).is_valid(body) is valid
    async with surface(tmp_path) as served:
        assert ((await served.ask("POST", path, body, token=DIGITS)).status < 300) is valid
