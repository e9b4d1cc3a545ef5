"""Queueing, listing and cancelling mutations: each row of the table of 2.6."""

from __future__ import annotations

import pytest
from tests.platform.conftest import Org
from tests.support.platform import PARAMS, PlatformProcess, TestWorker

from donmai_daemon.clock import parse_rfc3339
from donmai_daemon.model.json import Json, JsonObject

POLICY: JsonObject = {"matrix": {"*": {"byok": {"allowed": False}}}}


def test_enqueue_answers_the_whole_mutation(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """201 with the mutation: pending, with who asked and when, and no time that has not come."""
    key = platform.make_key("admin", org.name, name="Ada")
    mutation = platform.enqueue(key, worker.host_id)
    assert set(mutation) == {
        "id", "orgId", "workerHostId", "op", "params", "status", "requestedBy", "createdAt",
    }  # fmt: skip
    assert mutation["status"] == "pending"
    assert (mutation["orgId"], mutation["workerHostId"]) == (org.name, worker.host_id)
    assert (mutation["op"], mutation["params"]) == ("project.add", PARAMS)
    assert mutation["requestedBy"] == "Ada"
    assert parse_rfc3339(str(mutation["createdAt"])) is not None


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("project.remove", {"id": "a"}),
        ("project.enable", {"id": "a"}),
        ("project.disable", {"id": "a"}),
        ("modelAccess.set", {"workload": "qa", "policy": POLICY}),
        ("modelAccess.set", {"policy": POLICY}),
        ("modelAccess.clear", {"workload": "no longer a workload"}),
        ("modelAccess.clear", {}),
        ("pool.deleted", {"poolId": "p", "candidatePoolIds": ["q"]}),
        ("session.kill", {"sessionId": "s", "reason": "r"}),
        ("project.remove", {"id": "a", "unknown": 1}),
    ],
)
def test_every_remote_operation_is_taken(
    platform: PlatformProcess, org: Org, worker: TestWorker, op: str, params: JsonObject
) -> None:
    """Each operation of the catalogue is queued as it was asked for."""
    mutation = platform.enqueue(org.owner, worker.host_id, op, params)
    assert (mutation["op"], mutation["params"]) == (op, params)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"op": None}, "op"),
        ({"op": ""}, "op"),
        ({"op": "project.frobnicate"}, "op"),
        ({"op": "session.wake"}, "op"),
        ({"op": "capacity.set", "params": {"key": "max_sessions", "value": 1}}, "op"),
        ({"params": None}, "params"),
        ({"params": []}, "params"),
        ({"params": {}}, "params.id"),
        ({"params": {"id": 5, "repository": "https://github.com/a/b"}}, "params.id"),
        ({"params": {"id": "a" * 513, "repository": "https://github.com/a/b"}}, "params.id"),
        ({"params": {"id": "a\u0007", "repository": "https://github.com/a/b"}}, "params.id"),
        ({"params": {"id": "a", "repository": "file:///etc"}}, "params.repository"),
        ({"params": {"id": "a", "repository": "https://u:p@github.com/a/b"}}, "params.repository"),
        ({"op": "modelAccess.set", "params": {"workload": "nope", "policy": POLICY}}, "params.workload"),
        ({"op": "modelAccess.set", "params": {"workload": "qa"}}, "params.policy"),
        ({"op": "modelAccess.set", "params": {"policy": {"matrix": {"*": {"byk": {"allowed": True}}}}}}, "params.policy"),
        ({"params": PARAMS | {"more": "x" * 17_000}}, "params"),
        ({"workerHostId": None}, "workerHostId"),
        ({"workerHostId": 7}, "workerHostId"),
        ({"notBefore": "tomorrow"}, "notBefore"),
        ({"notBefore": "2026-11-24T06:00:00"}, "notBefore"),
        ({"notBefore": 5}, "notBefore"),
        ({"notBefore": "9999-12-31T23:59:59-23:59"}, "notBefore"),
    ],
)  # fmt: skip
def test_a_bad_request_names_the_field(
    platform: PlatformProcess, org: Org, worker: TestWorker, change: dict[str, Json], field: str
) -> None:
    """Unknown operations, bad params and unknown workloads are 400 with the field's name, and queue nothing."""
    body: JsonObject = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS}
    answer = platform.call("POST", "/api/daemon/mutations", org.admin, body | change)
    assert answer.status == 400
    assert answer.text_of("error").startswith(field)
    assert platform.mutations(org.admin, worker.host_id) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"op": NaN}', b'{"op": "\\ud800"}', b"[" * 100_000]
)
def test_what_is_no_json_object_is_refused(
    platform: PlatformProcess, org: Org, worker: TestWorker, body: bytes
) -> None:
    """A body that is not one JSON object in UTF-8 is 400, however it is broken."""
    answer = platform.call("POST", "/api/daemon/mutations", org.admin, body)
    assert answer.status == 400, answer.text
    assert set(answer.body) == {"error"}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_not_before_is_a_moment(
    platform: PlatformProcess, org: Org, worker: TestWorker, asked: str, kept: str
) -> None:
    """In any zone and to any fraction; one that is over is due at once, one far away is not."""
    mutation = platform.enqueue(org.admin, worker.host_id, notBefore=asked)
    assert mutation["notBefore"] == platform.mutation(org.admin, worker.host_id, str(mutation["id"]))["notBefore"]
    assert mutation["notBefore"] == kept
    due = [one["id"] for one in platform.beat(worker).list_of("pendingMutations")]
    assert due == ([mutation["id"]] if asked.startswith("2026") else [])


def test_roles(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Admin and owner change, a member looks, a worker key does neither; without a good key it is 401."""
    mutation = platform.enqueue(org.owner, worker.host_id)
    body: JsonObject = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS}
    listing = f"/api/daemon/mutations?workerHostId={worker.host_id}"
    one = f"/api/daemon/mutations/{mutation['id']}"
    for bearer, expected in (
        (None, (401, 401, 401, 401, 401)),
        ("rsk_live_" + "f" * 64, (401, 401, 401, 401, 401)),
        (worker.token, (401, 401, 401, 401, 401)),
        (org.worker, (403, 403, 403, 403, 403)),
        (org.member, (403, 200, 200, 403, 403)),
    ):
        statuses = (
            platform.call("POST", "/api/daemon/mutations", bearer, body).status,
            platform.call("GET", listing, bearer).status,
            platform.call("GET", one, bearer).status,
            platform.call("DELETE", one, bearer).status,
            platform.call("POST", f"{one}/undo", bearer).status,
        )
        assert statuses == expected
    assert platform.cancel(org.admin, str(mutation["id"])).status == 200


def test_another_organisation_sees_nothing(
    platform: PlatformProcess, org: Org, other_org: Org, worker: TestWorker
) -> None:
    """Hosts and mutations of another organisation are 404, never 403, for its owner as well."""
    mutation = platform.enqueue(org.admin, worker.host_id)
    body: JsonObject = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS}
    assert platform.call("POST", "/api/daemon/mutations", other_org.owner, body).status == 404
    listing = f"/api/daemon/mutations?workerHostId={worker.host_id}"
    assert platform.call("GET", listing, other_org.owner).status == 404
    assert platform.cancel(other_org.owner, str(mutation["id"])).status == 404
    assert platform.call("GET", f"/api/daemon/mutations/{mutation['id']}", other_org.owner).status == 404
    assert platform.call("POST", f"/api/daemon/mutations/{mutation['id']}/undo", other_org.owner).status == 404
    assert worker.host_id not in {h["workerHostId"] for h in platform.hosts(other_org.owner)}
    assert platform.mutation(org.admin, worker.host_id, str(mutation["id"]))["status"] == "pending"


def test_listing(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Newest first, 100 without a limit, 1 to 500 with one; the host must be named and must exist."""
    ids = [str(platform.enqueue(org.admin, worker.host_id)["id"]) for _ in range(103)]
    path = f"/api/daemon/mutations?workerHostId={worker.host_id}"
    listed = [m["id"] for m in platform.call("GET", path, org.member).list_of("mutations")]
    assert listed == ids[:2:-1]
    assert [m["id"] for m in platform.call("GET", f"{path}&limit=2", org.member).list_of("mutations")] == ids[
        :-3:-1
    ]
    assert len(platform.call("GET", f"{path}&limit=500", org.member).list_of("mutations")) == 103
    for limit in ("0", "501", "-1", "ten", "", "1.5", "9" * 400, "%C2%B2", "00000000500000"):
        answer = platform.call("GET", f"{path}&limit={limit}", org.member)
        assert answer.status == 400, limit
        assert answer.text_of("error").startswith("limit: ")
    unnamed = platform.call("GET", "/api/daemon/mutations", org.member)
    assert (unnamed.status, unnamed.body) == (400, {"error": "workerHostId: is required"})
    assert platform.call("GET", "/api/daemon/mutations?workerHostId=host_none", org.member).status == 404


def test_cancelling(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Pending: 200 and never delivered. Again: 409 already_cancelled. Delivered or settled: 409 already_delivered."""
    first = str(platform.enqueue(org.admin, worker.host_id)["id"])
    second = str(platform.enqueue(org.admin, worker.host_id)["id"])
    third = str(platform.enqueue(org.admin, worker.host_id)["id"])
    answer = platform.cancel(org.admin, first)
    assert (answer.status, answer.body) == (200, {"cancelled": True})
    again = platform.cancel(org.admin, first)
    assert (again.status, again.body) == (409, {"cancelled": False, "reason": "already_cancelled"})
    assert [m["id"] for m in platform.beat(worker).list_of("pendingMutations")] == [second, third]
    delivered = platform.cancel(org.admin, second)
    assert (delivered.status, delivered.body) == (409, {"cancelled": False, "reason": "already_delivered"})
    platform.beat(worker, appliedMutations=[second], mutationFailures=[{"id": third, "error": "no"}])
    for settled in (second, third):
        assert platform.cancel(org.owner, settled).body == {"cancelled": False, "reason": "already_delivered"}
    assert platform.cancel(org.admin, "mut_none").status == 404
    shown = platform.mutation(org.admin, worker.host_id, first)
    assert shown["status"] == "cancelled"
    assert "cancelledAt" in shown
    assert "deliveredAt" not in shown


def test_every_transition_is_on_record(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """The trail says who moved a mutation, when, from what, to what."""
    key = platform.make_key("admin", org.name, name="Grace")
    kept = str(platform.enqueue(key, worker.host_id)["id"])
    dropped = str(platform.enqueue(key, worker.host_id)["id"])
    platform.cancel(key, dropped)
    platform.beat(worker)
    platform.beat(worker, mutationFailures=[{"id": kept, "error": "disk full"}])

    def trail(mutation: str) -> list[tuple[Json, Json, Json]]:
        answer = platform.call("GET", f"/api/daemon/mutations/{mutation}", org.member)
        rows = answer.list_of("trail")
        times = [parse_rfc3339(str(row["at"])) for row in rows]
        assert None not in times
        assert times == sorted(times, key=str)
        return [(row["by"], row["from"], row["to"]) for row in rows]

    assert trail(kept) == [
        ("Grace", None, "pending"),
        (worker.worker_id, "pending", "delivered"),
        (worker.worker_id, "delivered", "failed"),
    ]
    assert trail(dropped) == [("Grace", None, "pending"), ("Grace", "pending", "cancelled")]


def test_a_key_that_was_revoked_is_refused_at_once(platform: PlatformProcess, org: Org) -> None:
    """A key that another process revokes is 401 on the next request."""
    made = platform.operated("key", "create", "--org", org.name, "--role", "admin")
    key = str(made["key"])
    assert platform.call("GET", "/api/daemon/hosts", key).status == 200
    platform.operated("key", "revoke", str(made["id"]))
    assert platform.call("GET", "/api/daemon/hosts", key).status == 401


def test_the_bearer_must_be_one(platform: PlatformProcess, org: Org) -> None:
    """A key under another scheme, padded, or with something behind it is no credential."""
    for header in (org.admin, f"Basic {org.admin}", f"Bearer  {org.admin}", f"Bearer {org.admin} x", "Bearer"):
        answer = platform.call("GET", "/api/daemon/hosts", headers={"Authorization": header})
        assert answer.status == 401, header
    assert platform.call("GET", "/api/daemon/hosts", headers={"Authorization": f"bearer {org.admin}"}).status == 200
