"""The OpenAPI 3.1 document, made from the route table. Loaded only when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from donmai_daemon import __version__
from donmai_daemon.control.router import Route, RouteGroup
from donmai_daemon.model.json import Json, JsonObject

_ERROR: JsonObject = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What went wrong, for people."},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "description": "What went wrong, for programs."},
    },
    "required": ["error", "code"],
}

_EVERY_ROUTE = (403, 500, 503)
_CHANGING_ROUTE = (400, 401, 408, 413)

_MEANINGS: Mapping[int, str] = {
    400: "The request cannot be understood; the text names what is wrong with it",
    401: "Missing or invalid control token",
    403: "Host or Origin is not this daemon's",
    404: "It is not there",
    408: "The body did not arrive in time",
    409: "Not possible in the state things are in now",
    413: "The body is longer than 64 KiB",
    500: "A fault of the daemon's; its log says more",
    503: "The daemon is still starting, or not ready",
}


def document(groups: Sequence[RouteGroup]) -> JsonObject:
    """Describes every route of `groups`."""
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {"Error": _ERROR}
    for group in groups:
        schemas.update(group.schemas())
        for route in group.routes:
            item = paths.setdefault(route.pattern, {})
            assert isinstance(item, dict)
            item[route.method.lower()] = _operation(group, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "donmai-daemon control API",
            "version": __version__,
            "description": "Loopback only. Reading is open to local users, without secrets; everything else needs the control token.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7734"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error_response(status) for status in sorted(_MEANINGS)},
            "securitySchemes": {
                "controlToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The 64 hex digits in the file control-token of the state directory. "
                    "On the unix socket the daemon's own user and root need none.",
                }
            },
        },
    }


def _operation(group: RouteGroup, route: Route) -> JsonObject:
    changing = route.method != "GET"
    refused = {*_EVERY_ROUTE, *(_CHANGING_ROUTE if changing else ()), *route.refusals}
    responses: dict[str, Json] = {str(status): _response(status, name) for status, name in route.answers.items()}
    responses.update({str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(refused)})
    needed: list[Json] = [{"controlToken": []}]
    operation: JsonObject = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [group.name],
        "security": needed if changing else [{}, *needed],
        "responses": responses,
    }
    parameters = [*_path_parameters(route.pattern), *_query_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content: JsonObject = {"application/json": {"schema": _reference(route.body)}}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.pattern.removeprefix("/api/daemon"))
    return route.method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def _path_parameters(pattern: str) -> Iterable[Json]:
    for name in re.findall(r"\{(\w+)\}", pattern):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 512},
        }


def _query_parameters(route: Route) -> Iterable[Json]:
    for parameter in route.query:
        yield {
            "name": parameter.name,
            "in": "query",
            "required": False,
            "description": parameter.description,
            "schema": parameter.schema,
        }


def _response(status: int, name: str) -> JsonObject:
    described: JsonObject = {"description": HTTPStatus(status).phrase}
    if "/" in name:
        described["content"] = {name: {"schema": {"type": "string"}}}
    else:
        described["content"] = {"application/json": {"schema": _reference(name)}}
    return described


def _error_response(status: int) -> JsonObject:
    return {"description": _MEANINGS[status], "content": {"application/json": {"schema": _reference("Error")}}}


def _reference(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}
