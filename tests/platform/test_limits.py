"""How much, how often, and what is never said: limits, errors, logs, numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.platform.conftest import Org, StoreKind, make_org, platform_on
from tests.support.platform import PARAMS, PlatformProcess, TestWorker

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.conditions import TooManyRequests
from donmai_daemon.platform.http.limits import RateLimiter


@pytest.fixture
def strict(store: StoreKind, tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform that takes 1 request a second of each credential, 5 at once."""
    with platform_on(store, tmp_path, "--rate-limit", "1") as running:
        yield running


def test_each_key_and_each_worker_has_a_rate_of_its_own(strict: PlatformProcess) -> None:
    """Beyond the burst it is 429 with Retry-After, for that credential only, and it passes."""
    admin, member, key = (strict.make_key(role) for role in ("admin", "member", "worker"))
    worker, other = strict.register(key, "one"), strict.register(key, "two")
    statuses = [strict.call("GET", "/api/daemon/hosts", admin).status for _ in range(12)]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    refused = strict.call("GET", "/api/daemon/hosts", admin)
    while refused.status != 429:
        refused = strict.call("GET", "/api/daemon/hosts", admin)
    assert refused.body == {"error": "too many requests"}
    assert int(refused.headers["Retry-After"]) >= 1
    assert strict.call("GET", "/api/daemon/hosts", member).status == 200
    beats = [strict.beat(worker).status for _ in range(12)]
    assert 429 in beats
    assert strict.beat(other).status == 200
    time.sleep(int(refused.headers["Retry-After"]))  # this is what a client is told to do
    assert strict.call("GET", "/api/daemon/hosts", admin).status == 200


def test_a_bucket_fills_at_its_rate() -> None:
    """A burst of five seconds' worth, then one more each time the rate allows; the wait is told to the fraction."""
    now = [0.0]
    limiter = RateLimiter(2.0, lambda: now[0])
    for _ in range(10):
        limiter.take("a")
    with pytest.raises(TooManyRequests) as refused:
        limiter.take("a")
    assert refused.value.retry_after == pytest.approx(0.5)
    limiter.take("b")
    now[0] += 0.5
    limiter.take("a")
    with pytest.raises(TooManyRequests):
        limiter.take("a")
    now[0] += 3600
    for _ in range(10):
        limiter.take("a")
    with pytest.raises(TooManyRequests):
        limiter.take("a")


def test_bodies_have_a_limit(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """256 KiB, and 4 MiB for registrations and beats; beyond it is 413, also without a Content-Length."""
    small, large = 256 * 1024, 4 * 1024 * 1024

    def padded(body: JsonObject, size: int) -> bytes:
        raw = json.dumps(body | {"padding": ""}).encode()
        return raw[:-2] + b"x" * (size - len(raw)) + raw[-2:]

    order: JsonObject = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS}
    assert platform.call("POST", "/api/daemon/mutations", org.admin, padded(order, small)).status == 201
    refused = platform.call("POST", "/api/daemon/mutations", org.admin, padded(order, small + 1))
    assert refused.status == 413
    assert set(refused.body) == {"error"}
    beat = f"/api/workers/{worker.worker_id}/heartbeat"
    assert platform.call("POST", beat, worker.token, padded({}, large)).status == 200
    assert platform.call("POST", beat, worker.token, padded({}, large + 1)).status == 413
    machine: JsonObject = {"hostname": "h", "capacity": 1, "machineId": "padded"}
    assert platform.call("POST", "/api/workers/register", org.worker, padded(machine, large)).status == 200
    assert platform.call("POST", "/api/workers/register", org.worker, padded(machine, large + 1)).status == 413
    chunked = platform.stream(
        "POST", "/api/daemon/mutations", org.admin, [padded(order, small)[:-1], b" " * 10, b"}"]
    )
    assert chunked.status == 413


def test_every_error_has_one_shape(platform: PlatformProcess, org: Org) -> None:
    """Unknown routes are 404, wrong methods 405 with Allow, each with an error text and a request id."""
    unknown = platform.call("GET", "/api/nothing", org.admin)
    assert (unknown.status, unknown.body) == (404, {"error": "no such route"})
    wrong = platform.call("PUT", "/api/daemon/mutations", org.admin)
    assert (wrong.status, wrong.body) == (405, {"error": "method not allowed"})
    assert wrong.headers["Allow"] == "GET, HEAD, POST"
    for answer in (unknown, wrong, platform.call("GET", "/api/daemon/hosts")):
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Request-Id"]
    named = platform.call("GET", "/api/daemon/hosts", headers={"X-Request-Id": "mine-1"})
    assert named.headers["X-Request-Id"] == "mine-1"
    assert '"request":"mine-1"' in platform.log_text()
    forged = platform.call("GET", "/api/daemon/hosts", headers={"X-Request-Id": 'a" b'})
    assert forged.headers["X-Request-Id"].startswith("req_")


def test_health_and_numbers_need_no_credential(platform: PlatformProcess, worker: TestWorker) -> None:
    """Health, readiness and metrics answer anyone; the metrics count requests by operation and status."""
    assert platform.call("GET", "/healthz").text == "ok\n"
    assert platform.call("GET", "/readyz").text == "ok\n"
    assert platform.call("HEAD", "/healthz").status == 200
    platform.beat(worker)
    metrics = platform.call("GET", "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'donmai_platform_http_requests_total{operation="heartbeat",status="200"}' in metrics.text
    assert 'donmai_platform_http_request_duration_seconds_bucket{operation="heartbeat",le="+Inf"}' in metrics.text


def test_no_secret_is_logged(store: StoreKind, tmp_path: Path) -> None:
    """At the most talkative level, no key, token, prompt, environment value or signing secret is in the log."""
    with platform_on(
        store, tmp_path, "--log-level", "debug", environ={"WORKER_API_KEY": "legacy-secret"}
    ) as platform:
        org = make_org(platform, "acme")
        worker = platform.register(org.worker)
        item: JsonObject = {"projectId": "p", "prompt": "prompt-secret", "env": {"K": "env-secret"}}
        session = platform.call("POST", "/api/sessions", org.member, item).text_of("sessionId")
        detail = platform.call("GET", f"/api/daemon/sessions/{session}", worker.token)
        platform.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token)
        platform.call("POST", f"/api/workers/{worker.worker_id}/refresh-token", org.worker, {})
        platform.enqueue(org.admin, worker.host_id, "project.add", PARAMS)
        platform.beat(worker, junk=[org.admin], appliedMutations=["mut_none"])
        spoilt = worker.token[:-3] + "abc"
        platform.beat(worker, token=spoilt)
        bad: JsonObject = {"workerHostId": "h", "op": org.admin, "params": {}}
        platform.call("POST", "/api/daemon/mutations", org.admin, bad)
        platform.call("GET", f"/api/daemon/hosts?token={org.member}", org.member)
        secrets: list[Json] = [
            org.owner, org.admin, org.member, org.worker, worker.token, spoilt, detail.body["authToken"],
            "prompt-secret", "env-secret", "legacy-secret",
        ]  # fmt: skip
        platform.stop()
        log = platform.log_text()
    assert "work.queued" in log
    for secret in secrets:
        assert str(secret) not in log
