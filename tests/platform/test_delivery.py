"""What a beat keeps, settles and receives (2.3, 2.6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from tests.platform.conftest import Org
from tests.support.platform import PARAMS, Answer, PlatformProcess, TestWorker

from donmai_daemon.clock import parse_rfc3339, rfc3339
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.records.mutations import HOST_REMOVED, MAX_DELIVERED_BYTES


def delivered(answer: Answer) -> list[Json]:
    """The ids in a beat's answer."""
    assert answer.status == 200, answer.text
    return [mutation["id"] for mutation in answer.list_of("pendingMutations")]


def shown(platform: PlatformProcess, org: Org, worker: TestWorker) -> JsonObject:
    """The worker's host as operators see it."""
    return next(h for h in platform.hosts(org.admin) if h["workerHostId"] == worker.host_id)


def test_the_answer_has_the_fields_of_the_wire(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """An accepted beat is acknowledged with time, host status, and mutations of exactly five fields."""
    mutation = platform.enqueue(org.admin, worker.host_id)
    answer = platform.beat(worker)
    assert answer.body["acknowledged"] is True
    assert answer.body["hostStatus"] == {"status": "ok"}
    assert answer.body["pendingWorkCount"] == 0
    told = parse_rfc3339(answer.text_of("serverTime"))
    assert told is not None
    assert abs(told - datetime.now(UTC)) < timedelta(seconds=30)
    assert answer.list_of("pendingMutations") == [
        {
            "id": mutation["id"],
            "op": "project.add",
            "params": PARAMS,
            "requestedAt": mutation["createdAt"],
            "requestedBy": mutation["requestedBy"],
        }
    ]


def test_delivered_until_acked_in_creation_order(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """What is delivered and not acked comes again with every beat, oldest first, new ones behind it."""
    first, second = (platform.enqueue(org.admin, worker.host_id)["id"] for _ in range(2))
    assert delivered(platform.beat(worker)) == [first, second]
    third = platform.enqueue(org.admin, worker.host_id)["id"]
    assert delivered(platform.beat(worker)) == [first, second, third]
    assert delivered(platform.beat(worker, appliedMutations=[second])) == [first, third]
    stamp = platform.mutation(org.admin, worker.host_id, str(first))["deliveredAt"]
    assert delivered(platform.beat(worker)) == [first, third]
    assert platform.mutation(org.admin, worker.host_id, str(first))["deliveredAt"] == stamp
    failed: list[Json] = [{"id": third, "error": "x" * 2000}]
    assert delivered(platform.beat(worker, appliedMutations=[first], mutationFailures=failed)) == []
    settled = platform.mutation(org.admin, worker.host_id, str(third))
    assert settled["status"] == "failed"
    assert settled["error"] == "x" * 512
    assert "settledAt" in settled


def test_the_first_outcome_stands(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A repeated or contradicting ack changes nothing, and an id in both lists ends once."""
    mutation = str(platform.enqueue(org.admin, worker.host_id)["id"])
    both = str(platform.enqueue(org.admin, worker.host_id)["id"])
    platform.beat(worker)
    platform.beat(worker, appliedMutations=[mutation, both], mutationFailures=[{"id": both, "error": "e"}])
    before = platform.mutation(org.admin, worker.host_id, mutation)
    platform.beat(worker, mutationFailures=[{"id": mutation, "error": "late"}])
    assert platform.mutation(org.admin, worker.host_id, mutation) == before
    assert platform.mutation(org.admin, worker.host_id, both)["status"] == "applied"
    trail = platform.call("GET", f"/api/daemon/mutations/{mutation}", org.admin).list_of("trail")
    assert [row["to"] for row in trail] == ["pending", "delivered", "applied"]


def test_foreign_acks_are_ignored_and_logged(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """An ack for another host's mutation, for one not delivered, or for none changes nothing and is in the log."""
    other = platform.register(org.worker, "acked-by-another")
    theirs = str(platform.enqueue(org.admin, other.host_id)["id"])
    platform.beat(other)
    later = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    mine = str(platform.enqueue(org.admin, worker.host_id, notBefore=later)["id"])
    answer = platform.beat(worker, appliedMutations=[theirs, mine, "mut_none"])
    assert answer.body["acknowledged"] is True
    assert platform.mutation(org.admin, other.host_id, theirs)["status"] == "delivered"
    assert platform.mutation(org.admin, worker.host_id, mine)["status"] == "pending"
    lines = [json.loads(line) for line in platform.log_text().splitlines() if "foreign_acks" in line]
    assert [theirs, mine, "mut_none"] in [line["foreign_acks"] for line in lines]


def test_one_answer_holds_500_mutations(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """More than 500 mutations come in creation order over several beats."""
    ids = [platform.enqueue(org.admin, worker.host_id)["id"] for _ in range(503)]
    assert delivered(platform.beat(worker)) == ids[:500]
    assert platform.mutations(org.admin, worker.host_id)[0]["status"] == "pending"
    assert delivered(platform.beat(worker, appliedMutations=[*ids[:200]])) == ids[200:]


def test_one_answer_holds_512_kib_of_mutations(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Large mutations are cut off at 512 KiB, and the rest follows once those are acked."""
    params: JsonObject = {
        "policy": {"matrix": {f"model-{i}-{'m' * 400}": {"byok": {"allowed": True}} for i in range(30)}}
    }
    ids = [platform.enqueue(org.admin, worker.host_id, "modelAccess.set", params)["id"] for _ in range(45)]
    answer = platform.beat(worker)
    first = delivered(answer)
    assert first == ids[: len(first)]
    size = len(json.dumps(answer.body["pendingMutations"], separators=(",", ":")))
    one = size // len(first)
    assert MAX_DELIVERED_BYTES - one < size <= MAX_DELIVERED_BYTES
    assert delivered(platform.beat(worker, appliedMutations=[*first])) == ids[len(first) :]


def test_not_before_its_time(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """With `notBefore` a mutation waits for its time, can be cancelled till then, and lets others pass."""
    soon = datetime.now(UTC) + timedelta(seconds=1.2)
    early = platform.enqueue(org.admin, worker.host_id, notBefore=rfc3339(soon))
    dropped = platform.enqueue(org.admin, worker.host_id, notBefore=rfc3339(soon))
    plain = platform.enqueue(org.admin, worker.host_id)
    assert early["notBefore"] == rfc3339(soon)
    assert delivered(platform.beat(worker)) == [plain["id"]]
    assert platform.cancel(org.admin, str(dropped["id"])).status == 200
    answer = platform.beat(worker, wait=20)
    assert delivered(answer) == [early["id"], plain["id"]]
    assert datetime.now(UTC) >= soon


def test_bad_elements_do_not_sink_a_beat(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A beat with nonsense in every field is accepted, and the good acks in it count."""
    mutation = str(platform.enqueue(org.admin, worker.host_id)["id"])
    platform.beat(worker)
    answer = platform.beat(
        worker,
        status=7,
        activeCount="many",
        maxSessions=-1,
        seq="one",
        load={"cpu": "hot", "memory": 12.5},
        loadAverage=[1],
        conditions=["broken", {"code": "clock_skew", "message": "m" * 600, "severity": "warning", "since": "now"}],
        appliedMutations=[None, 5, mutation],
        mutationFailures=["x", {"error": "no id"}],
        enabledProjectIds="all",
        somethingNew={"a": 1},
    )
    assert answer.status == 200, answer.text
    assert platform.mutation(org.admin, worker.host_id, mutation)["status"] == "applied"
    host = shown(platform, org, worker)
    assert host["load"] == {"load": {"memory": 12.5}}
    conditions = host["conditions"]
    assert isinstance(conditions, list)
    assert [c["code"] for c in conditions if isinstance(c, dict)] == ["clock_skew"]


def test_what_a_beat_says_is_shown(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Occupancy, status, conditions, digest and the full report of a beat are what operators see."""
    platform.beat(
        worker,
        status="busy",
        activeCount=2,
        maxSessions=2,
        conditions=[
            {"code": "config_invalid", "severity": "error", "message": "line 3", "since": "2026-11-24T06:00:00Z"}
        ],
        configDigest="d" * 64,
        allowlistHash="a" * 64,
        allowlist=[{"id": "alpha", "repository": "https://github.com/acme/alpha"}],
        enabledProjectIds=["beta", "alpha"],
        projectAdmissionMode="enumerated",
    )
    host = shown(platform, org, worker)
    assert (host["dispatchStatus"], host["activeCount"], host["maxSessions"]) == ("busy", 2, 2)
    assert (host["projectAdmissionMode"], host["enabledProjectIds"]) == ("enumerated", ["alpha", "beta"])
    assert (host["allowlistHash"], host["configDigest"]) == ("a" * 64, "d" * 64)
    platform.beat(worker, allowlistHash="b" * 64)
    assert shown(platform, org, worker)["allowlistHash"] == "a" * 64
    platform.beat(
        worker, allowlistHash="c" * 64, allowlist=[], enabledProjectIds=[], projectAdmissionMode="enumerated"
    )
    host = shown(platform, org, worker)
    assert (host["allowlistHash"], host["enabledProjectIds"], host["conditions"]) == ("c" * 64, [], [])


def test_an_older_beat_overwrites_nothing(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A beat with a lower `seq` changes neither state nor report, while its acks count; a new boot counts from 1."""
    mutation = str(platform.enqueue(org.admin, worker.host_id)["id"])
    platform.beat(worker, seq=7, activeCount=2, allowlistHash="7" * 64, enabledProjectIds=["new"], allowlist=[])
    platform.beat(
        worker,
        seq=6,
        activeCount=1,
        allowlistHash="6" * 64,
        enabledProjectIds=["old"],
        allowlist=[],
        appliedMutations=[mutation],
    )
    host = shown(platform, org, worker)
    assert (host["activeCount"], host["enabledProjectIds"]) == (2, ["new"])
    assert platform.mutation(org.admin, worker.host_id, mutation)["status"] == "applied"
    again = platform.register(org.worker, str(host["machineId"]))
    platform.beat(again, seq=1, activeCount=1)
    assert shown(platform, org, again)["activeCount"] == 1


def test_pool_deleted_is_said_from_its_ack_on(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Once the daemon has applied `pool.deleted`, every answer says so, the ack's own first, until an operator says ok."""
    params: JsonObject = {"poolId": "p", "candidatePoolIds": ["q"]}
    mutation = platform.enqueue(org.admin, worker.host_id, "pool.deleted", params)
    assert platform.beat(worker).body["hostStatus"] == {"status": "ok"}
    told: JsonObject = {"status": "pool_deleted", "candidatePoolIds": ["q"]}
    assert platform.beat(worker, appliedMutations=[mutation["id"]]).body["hostStatus"] == told
    assert platform.beat(worker).body["hostStatus"] == told
    platform.operated("host", "status", worker.host_id, "ok")
    assert platform.beat(worker).body["hostStatus"] == {"status": "ok"}


def test_host_status_is_set_by_the_operator(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """`platform host status` changes what the next beat is told, with action and pools."""
    platform.operated("host", "status", worker.host_id, "pool_draining", "--action", "rebind", "--pool", "x")
    told = platform.beat(worker).body["hostStatus"]
    assert told == {"status": "pool_draining", "recommendedAction": "rebind", "candidatePoolIds": ["x"]}
    refused = platform.operate("host", "status", worker.host_id, "sideways")
    assert refused.returncode == 2


def test_a_removed_host_is_gone(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """`platform host remove` makes worker and host 404; the machine may register again, as a new host."""
    mutation = platform.enqueue(org.admin, worker.host_id)
    machine = shown(platform, org, worker)["machineId"]
    assert platform.operated("host", "remove", worker.host_id)["removed"] is True
    assert platform.beat(worker).status == 404
    listing = f"/api/daemon/mutations?workerHostId={worker.host_id}"
    assert platform.call("GET", listing, org.admin).status == 404
    one = platform.call("GET", f"/api/daemon/mutations/{mutation['id']}", org.admin)
    assert one.object_of("mutation")["status"] == "cancelled"
    assert platform.operate("host", "remove", worker.host_id).returncode == 1
    again = platform.register(org.worker, str(machine))
    assert again.host_id != worker.host_id
    assert delivered(platform.beat(again)) == []


def test_what_a_removed_host_had_is_over(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """What was delivered has failed, with the reason and on record; what had ended stays; nothing more can be queued."""
    applied, out = (str(platform.enqueue(org.admin, worker.host_id)["id"]) for _ in range(2))
    platform.beat(worker)
    platform.beat(worker, appliedMutations=[applied])
    platform.operated("host", "remove", worker.host_id)
    found = platform.call("GET", f"/api/daemon/mutations/{out}", org.admin)
    ended = found.object_of("mutation")
    assert (ended["status"], ended["error"]) == ("failed", HOST_REMOVED)
    assert "settledAt" in ended
    assert [row["to"] for row in found.list_of("trail")] == ["pending", "delivered", "failed"]
    assert str(found.list_of("trail")[-1]["by"]).startswith("cli:")
    before = platform.call("GET", f"/api/daemon/mutations/{applied}", org.admin).object_of("mutation")
    assert before["status"] == "applied"
    order: JsonObject = {"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS}
    assert platform.call("POST", "/api/daemon/mutations", org.admin, order).status == 404
    assert platform.cancel(org.admin, out).body == {"cancelled": False, "reason": "already_delivered"}


def test_pending_mutations_are_counted(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """`pendingMutations` of a host counts what is not settled."""
    ids = [platform.enqueue(org.admin, worker.host_id)["id"] for _ in range(3)]
    assert shown(platform, org, worker)["pendingMutations"] == 3
    platform.beat(worker)
    platform.beat(worker, appliedMutations=ids[:2])
    assert shown(platform, org, worker)["pendingMutations"] == 1
