"""Undo: the inverse operation computed from what is known, or a refusal that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.platform.conftest import Org
from tests.support.platform import PARAMS, PlatformProcess, TestWorker

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.conditions import Conflict
from donmai_daemon.platform.records.hosts import AdmissionRecord
from donmai_daemon.platform.records.mutations import MutationRecord
from donmai_daemon.platform.undo import Inverse, entry_before, inverse

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://github.com/acme/alpha.git"
POLICY: JsonObject = {"matrix": {"*": {"byok": {"allowed": False}}}}
OTHER_POLICY: JsonObject = {"matrix": {"*": {"byok": {"allowed": True}}}}


def applied(identifier: str, op: str, params: JsonObject, before: JsonObject | None = None) -> MutationRecord:
    """An applied mutation."""
    return MutationRecord(identifier, "acme", "host_1", op, params, "applied", "Ada", NOW, 100, before=before)


def state(*urls: str, enabled: bool = True, present: bool = True) -> JsonObject:
    """What a report says of a project."""
    listed: list[Json] = [*urls]
    return {"present": present, "enabled": enabled, "repositories": listed}


ABSENT = state(enabled=False, present=False)
ADD: JsonObject = {"id": "alpha", "repository": URL}
ID: JsonObject = {"id": "alpha"}


@pytest.mark.parametrize(
    ("op", "params", "before", "expected"),
    [
        ("project.add", ADD, ABSENT, Inverse("project.remove", ID)),
        ("project.add", ADD, state("https://GitHub.com/acme/alpha", enabled=False), Inverse("project.disable", ID)),
        ("project.add", ADD, state(URL), "changed nothing"),
        ("project.add", ADD, state("https://github.com/acme/else"), "no operation takes one away"),
        ("project.enable", ID, state(URL, enabled=False), Inverse("project.disable", ID)),
        ("project.enable", ID, ABSENT, Inverse("project.remove", ID)),
        ("project.enable", ID, state(URL), "changed nothing"),
        ("project.disable", ID, state(URL), Inverse("project.enable", ID)),
        ("project.disable", ID, state(URL, enabled=False), "changed nothing"),
        ("project.remove", ID, state(URL), Inverse("project.add", ADD)),
        ("project.remove", ID, state(URL, "https://github.com/acme/else"), "more than one operation"),
        ("project.remove", ID, state(URL, enabled=False), "more than one operation"),
        ("project.remove", ID, ABSENT, "changed nothing"),
        ("project.add", ADD, None, "had not reported"),
        ("modelAccess.set", {"workload": "qa", "policy": POLICY}, None, "does not know"),
        ("modelAccess.clear", {}, None, "cleared every policy"),
        ("pool.deleted", {"poolId": "p"}, None, "no operation takes pool.deleted back"),
        ("session.kill", {"sessionId": "s"}, None, "no operation takes session.kill back"),
    ],
)
def test_the_inverse(op: str, params: JsonObject, before: JsonObject | None, expected: Inverse | str) -> None:
    """What the machine reported before a change decides what takes it back."""
    mutation = applied("mut_1", op, params, before)
    if isinstance(expected, Inverse):
        assert inverse(mutation, [mutation]) == expected
        return
    with pytest.raises(Conflict, match=expected):
        inverse(mutation, [mutation])


def test_the_history_decides_what_was_before() -> None:
    """Without a report, a removal before it means it was absent; policies are known from what was asked for."""
    removal = applied("mut_1", "project.remove", ID)
    add = applied("mut_2", "project.add", ADD)
    assert inverse(add, [add, removal]) == Inverse("project.remove", ID)
    first = applied("mut_1", "modelAccess.set", {"workload": "qa", "policy": POLICY})
    second = applied("mut_2", "modelAccess.set", {"workload": "qa", "policy": OTHER_POLICY})
    assert inverse(second, [second, first]) == Inverse("modelAccess.set", first.params)
    clear = applied("mut_3", "modelAccess.clear", {"workload": "qa"})
    assert inverse(clear, [clear, second, first]) == Inverse("modelAccess.set", second.params)
    whole = applied("mut_0", "modelAccess.clear", {})
    assert inverse(first, [first, whole]) == Inverse("modelAccess.clear", {"workload": "qa"})
    default = applied("mut_1", "modelAccess.set", {"policy": POLICY})
    with pytest.raises(Conflict, match="leaves the others"):
        inverse(default, [default, whole])


def test_a_later_change_of_the_same_entry_comes_first() -> None:
    """What was changed since, or taken back already, is refused with the id of the change that is in the way."""
    add = applied("mut_1", "project.add", ADD, ABSENT)
    later = applied("mut_2", "project.disable", ID)
    with pytest.raises(Conflict, match="mut_2 has changed"):
        inverse(add, [later, add])
    assert inverse(add, [replace(later, status="failed"), add]).op == "project.remove"
    assert inverse(add, [applied("mut_2", "project.disable", {"id": "beta"}), add]).op == "project.remove"
    with pytest.raises(Conflict, match="taken back already, by mut_2"):
        inverse(add, [replace(later, op="project.remove", undoes="mut_1"), add])
    policy = applied("mut_1", "modelAccess.set", {"workload": "qa", "policy": POLICY})
    with pytest.raises(Conflict, match="mut_2 has changed"):
        inverse(policy, [applied("mut_2", "modelAccess.clear", {}), policy])


@pytest.mark.parametrize("status", ["pending", "delivered", "failed", "cancelled"])
def test_only_what_was_applied_can_be_undone(status: str) -> None:
    """Every other status is refused with what to do, or that nothing is to be done."""
    with pytest.raises(Conflict, match="cannot be undone: "):
        inverse(replace(applied("mut_1", "project.add", ADD, ABSENT), status=status), [])  # type: ignore[arg-type]  # a parameter


def test_a_report_tells_the_entry() -> None:
    """A project is there when it is enabled or has a repository; other operations are about none."""
    report = AdmissionRecord("d", "enumerated", ("alpha",), (("beta", URL), ("beta", "u2")))
    assert entry_before(report, "project.add", {"id": "alpha"}) == state()
    assert entry_before(report, "project.add", {"id": "beta"}) == state(URL, "u2", enabled=False)
    assert entry_before(report, "project.add", {"id": "gamma"}) == ABSENT
    assert entry_before(report, "modelAccess.clear", {}) is None


def test_undo_over_the_wire(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """An applied add is undone by a removal that names it; again, before its end, or unknown before, it is 409."""
    report: JsonObject = {"allowlist": [], "enabledProjectIds": [], "projectAdmissionMode": "enumerated"}

    def beat(**fields: Json) -> list[JsonObject]:
        path = f"/api/workers/{worker.worker_id}/heartbeat"
        answer = platform.call("POST", path, worker.token, {"allowlistHash": "a" * 64, **fields})
        assert answer.status == 200, answer.text
        return answer.list_of("pendingMutations")

    def undo(mutation: JsonObject) -> tuple[int, JsonObject]:
        answer = platform.call("POST", f"/api/daemon/mutations/{mutation['id']}/undo", org.admin)
        return answer.status, answer.body

    beat(**report)
    add = platform.enqueue(org.admin, worker.host_id)
    same = platform.enqueue(org.admin, worker.host_id, "project.disable", {"id": "alpha"})
    assert undo(add)[0] == 409
    platform.cancel(org.admin, str(same["id"]))
    beat()
    assert undo(add) == (409, {"error": "cannot be undone: the machine has not said yet how it ended"})
    beat(appliedMutations=[add["id"]])
    status, body = undo(add)
    back = body["mutation"]
    assert status == 201
    assert isinstance(back, dict)
    assert (back["op"], back["params"], back["undoes"]) == ("project.remove", {"id": PARAMS["id"]}, add["id"])
    assert undo(add)[0] == 409
    assert [m["id"] for m in beat()] == [back["id"]]
    beat(appliedMutations=[back["id"]])
    assert "taken back already" in str(undo(add)[1]["error"])


def test_an_outdated_report_proves_nothing(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A mutation delivered while the machine had something else than it had reported cannot be undone by the report."""
    platform.beat(worker, allowlistHash="a" * 64, allowlist=[], enabledProjectIds=[])
    mutation = platform.enqueue(org.admin, worker.host_id)
    platform.beat(worker, allowlistHash="b" * 64)
    platform.beat(worker, allowlistHash="b" * 64, appliedMutations=[mutation["id"]])
    answer = platform.call("POST", f"/api/daemon/mutations/{mutation['id']}/undo", org.admin)
    assert (answer.status, "had not reported" in answer.text) == (409, True)
