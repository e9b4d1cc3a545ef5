"""The queued session detail for runners in sandboxes (2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from tests.platform.conftest import Org, StoreKind, platform_on
from tests.support.platform import Answer, PlatformProcess, TestWorker
from tests.support.waiting import eventually

from donmai_daemon.model.json import Json, JsonObject

ITEM: JsonObject = {
    "projectId": "sealed",
    "repository": "https://github.com/acme/alpha.git",
    "prompt": "the secret plan",
    "systemPromptOverride": "be discreet",
    "env": {"KEY": "sesame"},
}
LEGACY = "legacy-worker-key"


@pytest.fixture(scope="module")
def platform(store: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    """A platform with a public address and a legacy key."""
    options = ("--public-url", "https://platform.example/", "--legacy-org", "acme", "--rate-limit", "100000")
    directory: Path = tmp_path_factory.mktemp("platform")
    with platform_on(store, directory, *options, environ={"WORKER_API_KEY": LEGACY}) as running:
        yield running


def detail(platform: PlatformProcess, session: str, bearer: str | None) -> Answer:
    """Ask for the detail."""
    return platform.call("GET", f"/api/daemon/sessions/{session}", bearer)


@pytest.fixture
def session(platform: PlatformProcess, org: Org) -> str:
    """A queued session."""
    return platform.call("POST", "/api/sessions", org.member, ITEM).text_of("sessionId")


def claims_of(token: Json) -> dict[str, object]:
    """The claims of a token, unverified."""
    read: dict[str, object] = jwt.decode(str(token), options={"verify_signature": False})
    return read


def test_while_queued_everything_is_there(
    platform: PlatformProcess, org: Org, worker: TestWorker, session: str
) -> None:
    """The whole item, with platform address, organisation, and a token for this session that is not the daemon's own."""
    answer = detail(platform, session, worker.token)
    assert answer.status == 200, answer.text
    body = answer.body
    assert {name: body[name] for name in ITEM} == ITEM
    assert body["platformUrl"] == "https://platform.example"
    assert (body["sessionId"], body["organizationId"], body["workerId"]) == (session, "acme", worker.worker_id)
    assert body["authToken"] != worker.token
    assert claims_of(body["authToken"])["scope"] == [f"session:{session}"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert detail(platform, session, worker.token).body["authToken"] != body["authToken"]


def test_without_a_credential_there_is_no_payload(platform: PlatformProcess, org: Org, session: str) -> None:
    """No bearer, a wrong one, or an API key of any role: 401 and not a word of the payload."""
    for bearer in (None, "wrong", "a.b.c", org.worker, org.owner, LEGACY + "x"):
        answer = detail(platform, session, bearer)
        assert answer.status == 401
        assert set(answer.body) == {"error"}
        assert "secret plan" not in answer.text


def test_another_organisation_finds_nothing(platform: PlatformProcess, other_org: Org, session: str) -> None:
    """Another organisation's token gets the same 404 for a queued session as for none at all."""
    stranger = platform.register(other_org.worker, "stranger")
    theirs, none = detail(platform, session, stranger.token), detail(platform, "ses_none", stranger.token)
    assert (theirs.status, none.status) == (404, 404)
    assert theirs.body == none.body


def test_a_claim_deletes_it(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """After a claim the owner gets four fields with a fresh credential, everybody else 404, the legacy key too."""
    other = platform.register(org.worker, "bystander")
    session = platform.call("POST", "/api/sessions", org.member, ITEM | {"priority": 0}).text_of("sessionId")
    items = platform.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token).list_of("work")
    assert session in [item["sessionId"] for item in items]
    answer = detail(platform, session, worker.token)
    assert set(answer.body) == {"sessionId", "workerId", "authToken", "platformUrl"}
    assert answer.body["workerId"] == worker.worker_id
    renewed = detail(platform, session, answer.text_of("authToken"))
    assert set(renewed.body) == {"sessionId", "workerId", "authToken", "platformUrl"}
    assert detail(platform, session, other.token).status == 404
    assert detail(platform, session, LEGACY).status == 404
    body: JsonObject = {"workerId": worker.worker_id, "reason": "changed my mind"}
    assert platform.call("POST", f"/api/sessions/{session}/nack", worker.token, body).status == 200
    assert detail(platform, session, other.token).body["prompt"] == "the secret plan"


def test_a_sandbox_runs_a_session(platform: PlatformProcess, org: Org, worker: TestWorker, session: str) -> None:
    """With the operator's token a runner without a daemon fetches, claims by `running`, renews, and finishes."""
    printed = str(platform.operated("work", "token", session)["token"])
    fetched = detail(platform, session, printed).body
    assert fetched["prompt"] == "the secret plan"
    token, runner, claim = str(fetched["authToken"]), fetched["workerId"], fetched["claimId"]
    path = f"/api/sessions/{session}"
    running: JsonObject = {"workerId": runner, "status": "running", "claimId": claim}
    assert platform.call("POST", f"{path}/status", token, running).status == 200
    again = platform.call("POST", f"{path}/status", token, running)
    assert [again.body[name] for name in ("status", "workerId", "claimId")] == ["running", runner, claim]
    assert detail(platform, session, worker.token).status == 404
    renewed = detail(platform, session, printed)
    assert set(renewed.body) == {"sessionId", "workerId", "authToken", "platformUrl"}
    token = renewed.text_of("authToken")
    assert platform.call("POST", f"{path}/lock-refresh", token, {"workerId": runner}).body == {"refreshed": True}
    done: JsonObject = {"workerId": runner, "status": "completed", "claimId": claim}
    assert platform.call("POST", f"{path}/status", token, done).status == 200
    assert detail(platform, session, printed).status == 404
    assert platform.operate("work", "token", session).returncode == 1


def test_a_sessions_token_is_for_that_session(
    platform: PlatformProcess, org: Org, worker: TestWorker, session: str
) -> None:
    """A session's token opens no other session, no beat, no poll and no refresh."""
    token = detail(platform, session, worker.token).text_of("authToken")
    other = platform.call("POST", "/api/sessions", org.member, ITEM).text_of("sessionId")
    assert detail(platform, other, token).status == 404
    body: JsonObject = {"workerId": worker.worker_id, "status": "running"}
    assert platform.call("POST", f"/api/sessions/{other}/status", token, body).status == 404
    assert platform.call("GET", f"/api/sessions/{other}/status", token).status == 404
    assert platform.beat(worker, token=token).status == 403
    assert platform.call("GET", f"/api/workers/{worker.worker_id}/poll", token).status == 403
    assert platform.call("POST", f"/api/workers/{worker.worker_id}/refresh-token", token, {}).status == 403
    assert platform.call("GET", "/api/daemon/hosts", token).status == 401


def test_the_legacy_key_opens_this_and_nothing_else(
    platform: PlatformProcess, org: Org, other_org: Org, worker: TestWorker, session: str
) -> None:
    """`WORKER_API_KEY` reads queued details of its organisation, and is 401 on every other route."""
    answer = detail(platform, session, LEGACY)
    assert answer.body["prompt"] == "the secret plan"
    running: JsonObject = {
        "workerId": answer.body["workerId"],
        "status": "running",
        "claimId": answer.body["claimId"],
    }
    theirs = platform.call("POST", "/api/sessions", other_org.member, ITEM).text_of("sessionId")
    assert detail(platform, theirs, LEGACY).status == 404
    assert platform.call("POST", f"/api/sessions/{session}/status", LEGACY, running).status == 401
    assert platform.beat(worker, token=LEGACY).status == 401
    assert platform.call("GET", f"/api/workers/{worker.worker_id}/poll", LEGACY).status == 401
    assert platform.call("POST", f"/api/workers/{worker.worker_id}/refresh-token", LEGACY, {}).status == 401
    assert platform.call("POST", "/v1/daemon/heartbeat", LEGACY, {"workerId": worker.worker_id}).status == 401
    assert platform.call("GET", f"/api/sessions/{session}/status", LEGACY).status == 401
    started = platform.call("POST", f"/api/sessions/{session}/status", answer.text_of("authToken"), running)
    assert started.status == 200


def test_a_superseded_worker_is_gone_but_its_runner_is_not(
    platform: PlatformProcess, org: Org, session: str
) -> None:
    """After re-registration the old token is 404 here, while the token of its session still renews."""
    former = platform.register(org.worker, "twice")
    token = detail(platform, session, former.token).text_of("authToken")
    body: JsonObject = {"workerId": former.worker_id, "status": "running"}
    assert platform.call("POST", f"/api/sessions/{session}/status", token, body).status == 200
    now = platform.register(org.worker, "twice")
    assert detail(platform, session, former.token).status == 404
    assert detail(platform, session, token).body["workerId"] == former.worker_id
    assert detail(platform, session, now.token).body["workerId"] == former.worker_id


def test_tokens_expire(store: StoreKind, tmp_path: Path) -> None:
    """With a short `--token-ttl` a token is refused once its time is over, and the key gets a new one."""
    with platform_on(store, tmp_path, "--token-ttl", "1") as brief:
        key = brief.make_key("worker")
        worker = brief.register(key)
        eventually(lambda: brief.beat(worker).status != 200, every=0.1)
        assert brief.beat(worker).status == 401
        path = f"/api/workers/{worker.worker_id}/refresh-token"
        assert brief.call("POST", path, worker.token, {}).status == 401
        fresh = brief.call("POST", path, key, {}).text_of("runtimeToken")
        assert brief.beat(worker, token=fresh).status == 200
