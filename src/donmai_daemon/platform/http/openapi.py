"""The API description (OpenAPI 3.1), built from the endpoints themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from donmai_daemon import __version__
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.http.answers import ERROR
from donmai_daemon.platform.http.endpoint import Endpoint

_REASONS = {
    400: "The request is not understood; the text names the field.",
    401: "No credential, or one that is not good.",
    403: "A good credential that may not do this.",
    404: "No such thing, for this caller.",
    409: "Not in a state that allows this.",
    413: "The body is too large.",
    429: "Asked too often; Retry-After says when to ask again.",
    500: "The platform has failed.",
    503: "The store is unavailable; nothing was recorded.",
}
_SECURITY: dict[str, list[Json]] = {
    "none": [],
    "key": [{"apiKey": []}],
    "runtime": [{"runtimeToken": []}],
    "key or runtime": [{"apiKey": []}, {"runtimeToken": []}],
}


def describe(endpoints: Sequence[Endpoint]) -> JsonObject:
    """The description of `endpoints`."""
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        methods = paths.setdefault(endpoint.path, {})
        assert isinstance(methods, dict)
        methods[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "donmai platform",
            "version": __version__,
            "description": "The control plane: daemons dial in, operators queue changes and work.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "rsk_live_…"},
                "runtimeToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            }
        },
    }


def _operation(endpoint: Endpoint) -> JsonObject:
    operation: JsonObject = {
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "security": _SECURITY[endpoint.credential],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint),
    }
    if endpoint.body is not None:
        content: JsonObject = {"application/json": {"schema": endpoint.body}}
        operation["requestBody"] = {"required": "required" in endpoint.body, "content": content}
    return operation


def _parameters(endpoint: Endpoint) -> list[Json]:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    for name, described in endpoint.query.items():
        schema = {key: value for key, value in described.items() if key != "required"}
        required = described.get("required") is True
        parameters.append({"name": name, "in": "query", "required": required, "schema": schema})
    return parameters


def _responses(endpoint: Endpoint) -> JsonObject:
    if endpoint.answer is None:
        content: JsonObject = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": endpoint.answer}}
    responses: JsonObject = {str(endpoint.status): {"description": "Done.", "content": content}}
    refusals = {*endpoint.refusals, 500, 503}
    if endpoint.credential != "none":
        refusals |= {401, 429}
    if endpoint.body is not None:
        refusals |= {400, 413}
    for status in sorted(refusals):
        schema = endpoint.conflict if status == 409 and endpoint.conflict is not None else ERROR
        responses[str(status)] = {
            "description": _REASONS[status],
            "content": {"application/json": {"schema": schema}},
        }
    return responses
