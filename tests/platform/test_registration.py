"""Registration, refresh and runtime tokens (2.1, 2.2)."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
from tests.platform.conftest import Org
from tests.support.platform import PlatformProcess, TestWorker

from donmai_daemon.clock import parse_rfc3339
from donmai_daemon.model.json import Json, JsonObject

BODY: JsonObject = {"hostname": "box.example", "capacity": 3, "machineId": "box"}


def claims_of(token: str) -> dict[str, object]:
    """The claims of a token, unverified."""
    read: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return read


def test_intervals_of_the_api_routes_are_milliseconds(platform: PlatformProcess, org: Org) -> None:
    """`/api/workers/register` answers worker, host, token, expiry, and intervals in milliseconds."""
    answer = platform.call("POST", "/api/workers/register", org.worker, BODY)
    assert answer.status == 200, answer.text
    assert answer.body["heartbeatInterval"] == 30_000
    assert answer.body["pollInterval"] == 5_000
    assert answer.body["heldBeats"] is True
    assert answer.text_of("workerId").startswith("wkr_")
    assert parse_rfc3339(answer.text_of("runtimeTokenExpiresAt")) is not None


def test_intervals_of_the_v1_route_are_seconds(platform: PlatformProcess, org: Org) -> None:
    """`/v1/daemon/register` takes the token in the body and answers intervals in seconds."""
    answer = platform.call(
        "POST",
        "/v1/daemon/register",
        None,
        {"registrationToken": org.worker, "hostname": "old.example", "maxAgents": 2, "machineId": "old"},
    )
    assert answer.status == 200, answer.text
    assert answer.body["heartbeatIntervalSeconds"] == 30
    assert answer.body["pollIntervalSeconds"] == 5
    beat = platform.call(
        "POST",
        "/v1/daemon/heartbeat",
        answer.text_of("runtimeJwt"),
        {"workerId": answer.body["workerId"], "activeSessions": 1},
    )
    assert beat.body["acknowledged"] is True
    host = next(h for h in platform.hosts(org.admin) if h["machineId"] == "old")
    assert (host["activeCount"], host["maxSessions"]) == (1, 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hostname": None}, "hostname"),
        ({"hostname": ""}, "hostname"),
        ({"hostname": "a\nb"}, "hostname"),
        ({"hostname": "ends\n"}, "hostname"),
        ({"capacity": -1}, "capacity"),
        ({"capacity": "two"}, "capacity"),
        ({"capacity": True}, "capacity"),
        ({"machineId": 7}, "machineId"),
        ({"projectIds": ["a", 1]}, "projectIds[1]"),
        ({"daemonProjects": [{"id": "a"}]}, "daemonProjects[0].repository"),
    ],
)
def test_a_bad_registration_names_the_field(
    platform: PlatformProcess, org: Org, change: dict[str, Json], field: str
) -> None:
    """A registration of the wrong shape is 400 with the name of the field."""
    answer = platform.call("POST", "/api/workers/register", org.worker, BODY | change)
    assert answer.status == 400
    assert answer.text_of("error").startswith(f"{field}: ")


@pytest.mark.parametrize("agents", [0, -1, 2.5, True, "2", None, 10**9])
def test_v1_registration_needs_room_for_a_session(platform: PlatformProcess, org: Org, agents: Json) -> None:
    """`maxAgents` is a whole number of more than zero on the `/v1` route."""
    body: JsonObject = {"registrationToken": org.worker, "hostname": "h", "maxAgents": agents}
    answer = platform.call("POST", "/v1/daemon/register", None, body)
    assert answer.status == 400
    assert answer.text_of("error").startswith("maxAgents: ")


def test_a_machine_may_take_no_work(platform: PlatformProcess, org: Org) -> None:
    """The `/api` route takes a capacity of 0, and operators see it."""
    worker = platform.register(org.worker, "no-room", capacity=0)
    host = next(h for h in platform.hosts(org.admin) if h["workerHostId"] == worker.host_id)
    assert host["maxSessions"] == 0


def test_who_may_register(platform: PlatformProcess, org: Org) -> None:
    """No key, an unknown key or a runtime token is 401, a member's key is 403; worker, admin and owner keys do."""
    worker = platform.register(org.worker, "who")
    for bearer in (None, "rsk_live_" + "0" * 64, "rsp_live_" + "0" * 64, "nonsense", worker.token):
        assert platform.call("POST", "/api/workers/register", bearer, BODY).status == 401
    assert platform.call("POST", "/api/workers/register", org.member, BODY).status == 403
    for key in (org.worker, org.admin, org.owner):
        assert platform.call("POST", "/api/workers/register", key, BODY | {"machineId": "who"}).status == 200


def test_the_runtime_token_says_what_the_wire_says(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A runtime token is HS256 with jti, sub, proj, org, reg, scope and exp, and exp is what the answer says."""
    assert jwt.get_unverified_header(worker.token)["alg"] == "HS256"
    claims = claims_of(worker.token)
    assert set(claims) >= {"jti", "sub", "proj", "org", "reg", "scope", "exp"}
    assert (claims["sub"], claims["org"], claims["reg"]) == (worker.worker_id, "acme", worker.host_id)
    expires = parse_rfc3339(str(worker.registered["runtimeTokenExpiresAt"]))
    assert expires is not None
    assert int(expires.timestamp()) == claims["exp"]


def test_registering_again_keeps_the_host(platform: PlatformProcess, org: Org) -> None:
    """The same machine keeps its host and its queued mutations; its former worker id is 404 from then on."""
    first = platform.register(org.worker, "same-machine")
    mutation = platform.enqueue(org.admin, first.host_id)
    second = platform.register(org.worker, "same-machine", hostname="renamed.example")
    assert second.host_id == first.host_id
    assert second.worker_id != first.worker_id
    assert platform.beat(first).status == 404
    assert platform.call("POST", f"/api/workers/{first.worker_id}/refresh-token", org.worker, {}).status == 404
    assert platform.call("POST", f"/api/workers/{first.worker_id}/refresh-token", first.token, {}).status == 404
    assert platform.call("GET", f"/api/workers/{first.worker_id}/poll", first.token).status == 404
    assert [m["id"] for m in platform.beat(second).list_of("pendingMutations")] == [mutation["id"]]
    hosts = [h for h in platform.hosts(org.admin) if h["machineId"] == "same-machine"]
    assert [h["hostname"] for h in hosts] == ["renamed.example"]


def test_a_machine_is_told_apart_by_its_id_not_its_name(platform: PlatformProcess, org: Org) -> None:
    """Two machines of one name are two hosts; the same machine id in another organisation is another host."""
    one = platform.register(org.worker, "twin-1", hostname="twin")
    two = platform.register(org.worker, "twin-2", hostname="twin")
    other = platform.register(platform.make_key("worker", "elsewhere"), "twin-1", hostname="twin")
    assert len({one.host_id, two.host_id, other.host_id}) == 3
    assert platform.beat(one).status == 200


def test_refresh_keeps_the_worker(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Refresh by registration token and by a valid runtime token: a new token, the same worker, intervals in ms."""
    for bearer in (org.worker, worker.token):
        answer = platform.call("POST", f"/api/workers/{worker.worker_id}/refresh-token", bearer, {})
        assert answer.status == 200, answer.text
        assert answer.text_of("runtimeToken") != worker.token
        assert claims_of(answer.text_of("runtimeToken"))["sub"] == worker.worker_id
        assert answer.body["expiresAt"] == answer.body["runtimeTokenExpiresAt"]
        assert answer.body["heartbeatInterval"] == 30_000
        assert platform.beat(worker, token=answer.text_of("runtimeToken")).status == 200


def test_refresh_is_for_the_own_organisation(
    platform: PlatformProcess, org: Org, other_org: Org, worker: TestWorker
) -> None:
    """Another organisation's key finds no such worker, a member's key may not, another worker's token is 403."""
    path = f"/api/workers/{worker.worker_id}/refresh-token"
    other = platform.register(org.worker, "refresher")
    assert platform.call("POST", path, other_org.worker, {}).status == 404
    assert platform.call("POST", path, org.member, {}).status == 403
    assert platform.call("POST", path, other.token, {}).status == 403
    assert platform.call("POST", path, None, {}).status == 401


def test_another_workers_path_is_forbidden(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A token is good for its own worker's routes only, known worker or not."""
    other = platform.register(org.worker, "neighbour")
    assert platform.beat(worker, token=other.token).status == 403
    assert platform.call("GET", f"/api/workers/{worker.worker_id}/poll", other.token).status == 403
    assert platform.call("POST", "/api/workers/wkr_none/heartbeat", other.token, {}).status == 403
    body: JsonObject = {"workerId": worker.worker_id, "activeSessions": 0}
    assert platform.call("POST", "/v1/daemon/heartbeat", other.token, body).status == 403


def machine_of(platform: PlatformProcess, org: Org, worker: TestWorker) -> str:
    """The machine id that the worker registered with."""
    return next(str(h["machineId"]) for h in platform.hosts(org.admin) if h["workerHostId"] == worker.host_id)


def worker_calls(worker: TestWorker, session: str) -> list[tuple[str, str, JsonObject | None]]:
    """Every route that takes a daemon's own token, and what that daemon would send."""
    me: JsonObject = {"workerId": worker.worker_id}
    own, one = f"/api/workers/{worker.worker_id}", f"/api/sessions/{session}"
    return [
        ("POST", f"{own}/heartbeat", {}),
        ("POST", "/v1/daemon/heartbeat", me),
        ("POST", f"{own}/refresh-token", {}),
        ("GET", f"{own}/poll", None),
        ("POST", f"{one}/status", me | {"status": "running"}),
        ("GET", f"{one}/status", None),
        ("POST", f"{one}/nack", me | {"reason": "r"}),
        ("POST", f"{one}/lock-refresh", me),
        ("POST", f"{one}/activity", me | {"activity": {"type": "thought", "content": "c"}}),
        ("POST", f"{one}/completion", me | {"summary": "s"}),
        ("GET", f"/api/daemon/sessions/{session}", None),
    ]


@pytest.mark.parametrize("end", ["registered again", "removed"])
def test_a_worker_that_is_over_is_404_on_every_route(
    platform: PlatformProcess, org: Org, worker: TestWorker, end: str
) -> None:
    """Its token opens nothing more, not even a look at a session of its organisation."""
    session = platform.call("POST", "/api/sessions", org.member, {"projectId": "over"}).text_of("sessionId")
    if end == "removed":
        platform.operated("host", "remove", worker.host_id)
    else:
        platform.register(org.worker, machine_of(platform, org, worker))
    for method, path, body in worker_calls(worker, session):
        answer = platform.call(method, path, worker.token, body)
        assert (answer.status, answer.body) == (404, {"error": "no such worker"}), path


def test_every_worker_route_takes_a_token_only(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Without one, or with one that nobody signed, each is 401 and says nothing else; with a good one none is."""
    session = platform.call("POST", "/api/sessions", org.member, {"projectId": "kept"}).text_of("sessionId")
    unsigned = jwt.encode(claims_of(worker.token), "", algorithm="none")
    for method, path, body in worker_calls(worker, session):
        for bearer in (None, unsigned, "rsk_live_" + "0" * 64):
            refused = platform.call(method, path, bearer, body)
            assert refused.status == 401, path
            assert set(refused.body) == {"error"}
        assert platform.call(method, path, worker.token, body).status in (200, 409), path


@pytest.mark.parametrize("key", ["admin", "worker"])
def test_a_key_is_no_runtime_token(platform: PlatformProcess, org: Org, worker: TestWorker, key: str) -> None:
    """API keys of any role get 401 where a runtime token is wanted."""
    bearer = getattr(org, key)
    assert platform.beat(worker, token=bearer).status == 401
    assert platform.call("GET", f"/api/workers/{worker.worker_id}/poll", bearer).status == 401
    body: JsonObject = {"workerId": worker.worker_id}
    assert platform.call("POST", "/v1/daemon/heartbeat", bearer, body).status == 401


def test_a_forged_token_is_refused(platform: PlatformProcess, worker: TestWorker) -> None:
    """A token with another signature, another algorithm or none, or an unknown key id is 401."""
    claims = claims_of(worker.token)
    kid = jwt.get_unverified_header(worker.token)["kid"]
    header, payload, signature = worker.token.split(".")
    forged = [
        jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "sig_other"}),
        jwt.encode(claims, "", algorithm="none", headers={"kid": kid}),
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        "a.b.c",
        "..",
    ]
    for token in forged:
        answer = platform.beat(worker, token=token)
        assert answer.status == 401, token
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_rotating_the_signing_key_logs_nobody_out(platform: PlatformProcess, org: Org) -> None:
    """After a rotation tokens from before still work, and new ones are signed by the new key; also after the next."""
    before = platform.register(org.worker, "rotated")
    kid = jwt.get_unverified_header(before.token)["kid"]
    rotated = platform.operated("key", "rotate-signing")
    assert platform.beat(before).status == 200
    fresh = platform.call("POST", f"/api/workers/{before.worker_id}/refresh-token", org.worker, {})
    assert jwt.get_unverified_header(fresh.text_of("runtimeToken"))["kid"] == rotated["signingKeyId"] != kid
    platform.operated("key", "rotate-signing")
    assert platform.beat(before).status == 200
    assert platform.beat(before, token=fresh.text_of("runtimeToken")).status == 200


def test_a_revoked_key_registers_nothing_and_renews_nothing(platform: PlatformProcess, org: Org) -> None:
    """Revoked by another process, a key is useless at once, and its workers' tokens are not renewed beyond their time."""
    made = platform.operated("key", "create", "--org", org.name, "--role", "worker")
    key = str(made["key"])
    worker = platform.register(key, "revoked")
    platform.operated("key", "revoke", str(made["id"]))
    assert platform.call("POST", "/api/workers/register", key, BODY).status == 401
    path = f"/api/workers/{worker.worker_id}/refresh-token"
    assert platform.call("POST", path, key, {}).status == 401
    assert platform.call("POST", path, worker.token, {}).status == 401
    assert platform.beat(worker).status == 200
    assert platform.call("POST", path, org.worker, {}).status == 200


def test_tokens_live_as_long_as_they_say(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Without `--token-ttl` a token is good for an hour."""
    claims = claims_of(worker.token)
    lifetime = int(str(claims["exp"])) - int(str(claims["iat"]))
    assert timedelta(seconds=lifetime) == timedelta(hours=1)
