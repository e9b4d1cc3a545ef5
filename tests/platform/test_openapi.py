"""The API description is valid, complete, and true."""

from __future__ import annotations

import json

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tests.platform.conftest import Org
from tests.support.platform import PlatformProcess

from donmai_daemon.model.json import JsonObject

EXAMPLES = 5
REJECTING = schemathesis.Config.from_dict(
    # What is wrong may be too large as well, and is refused for that then; 413 is not among the tool's own.
    {
        "checks": {
            "negative_data_rejection": {
                "expected-statuses": [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
            }
        }
    }
)

DOCUMENTED = {
    ("POST", "/api/workers/register"),
    ("POST", "/v1/daemon/register"),
    ("POST", "/api/workers/{workerId}/refresh-token"),
    ("POST", "/api/workers/{workerId}/heartbeat"),
    ("POST", "/v1/daemon/heartbeat"),
    ("GET", "/api/workers/{workerId}/poll"),
    ("POST", "/api/sessions/{sessionId}/nack"),
    ("POST", "/api/sessions/{sessionId}/status"),
    ("GET", "/api/sessions/{sessionId}/status"),
    ("POST", "/api/sessions/{sessionId}/lock-refresh"),
    ("POST", "/api/sessions/{sessionId}/activity"),
    ("GET", "/api/sessions/{sessionId}/activity"),
    ("POST", "/api/sessions/{sessionId}/completion"),
    ("POST", "/api/sessions/{sessionId}/stop"),
    ("POST", "/api/sessions"),
    ("GET", "/api/daemon/sessions/{sessionId}"),
    ("POST", "/api/daemon/mutations"),
    ("GET", "/api/daemon/mutations"),
    ("GET", "/api/daemon/mutations/{mutationId}"),
    ("DELETE", "/api/daemon/mutations/{mutationId}"),
    ("POST", "/api/daemon/mutations/{mutationId}/undo"),
    ("GET", "/api/daemon/hosts"),
    ("POST", "/api/org/{orgId}/keys"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
}


@pytest.fixture(scope="module")
def description(platform: PlatformProcess) -> JsonObject:
    """What the platform says of itself."""
    return platform.call("GET", "/openapi.json").body


def test_the_description_is_valid(description: JsonObject) -> None:
    """It is OpenAPI 3.1."""
    assert description["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(json.loads(json.dumps(description))).validate()


def test_the_description_is_complete(description: JsonObject) -> None:
    """Every route of the wire is in it and no other, each with a summary, its security, and a schema for every answer."""
    paths = description["paths"]
    assert isinstance(paths, dict)
    found = set()
    for path, methods in paths.items():
        assert isinstance(methods, dict)
        for method, operation in methods.items():
            found.add((method.upper(), path))
            assert isinstance(operation, dict)
            assert operation["summary"]
            assert "security" in operation
            responses = operation["responses"]
            assert isinstance(responses, dict)
            for response in responses.values():
                assert isinstance(response, dict)
                assert response["content"], (method, path)
    assert found == DOCUMENTED


def test_the_platform_keeps_to_the_description(
    platform: PlatformProcess, org: Org, description: JsonObject
) -> None:
    """Generated requests, good and bad, with every kind of credential, get answers that the description allows."""
    worker = platform.register(org.worker, "described")
    credentials = {"apiKey": org.admin, "runtimeToken": worker.token}
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(description)), config=REJECTING)
    tried = set()
    session = requests.Session()
    session.trust_env = False
    for result in schema.get_all_operations():
        assert not isinstance(result, Err)
        operation = result.ok()
        security = operation.definition.raw["security"]
        bearers: list[str | None] = [credentials[name] for choice in security for name in choice]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not operation.body and not operation.query:
                continue  # there is nothing in such a request that could be wrong
            for bearer in bearers or [None]:
                _hold_to_it(operation.as_strategy(generation_mode=mode), session, platform.url, bearer)
                tried.add(operation.label)
    session.close()
    assert len(tried) == len(DOCUMENTED)


def _hold_to_it(cases: SearchStrategy[object], session: requests.Session, url: str, bearer: str | None) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def check(case: object) -> None:
        assert isinstance(case, schemathesis.Case)
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        excluded: list[schemathesis.CheckFunction] = []
        if case.operation.label == "POST /api/daemon/mutations":
            # What `params` must hold depends on `op`, and one schema does not say it: good by the schema may be 400.
            excluded.append(positive_data_acceptance)
        if not case.operation.body:
            # "Wrong" is then a query parameter that nobody knows, and those are ignored.
            excluded.append(negative_data_rejection)
        case.call_and_validate(url, session, headers, excluded_checks=excluded, timeout=30)

    check()
