"""The main loop of the platform, end to end."""

from __future__ import annotations

from tests.platform.conftest import Org
from tests.support.platform import PlatformProcess, TestWorker


def test_a_mutation_is_delivered_and_settled(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """A queued mutation rides on the next beat and is settled by the ack of the one after."""
    mutation = platform.enqueue(org.admin, worker.host_id)
    answer = platform.beat(worker)
    assert answer.status == 200, answer.text
    delivered = answer.list_of("pendingMutations")
    assert [m["id"] for m in delivered] == [mutation["id"]]
    assert platform.cancel(org.admin, str(mutation["id"])).body == {
        "cancelled": False,
        "reason": "already_delivered",
    }
    platform.beat(worker, appliedMutations=[mutation["id"]])
    assert platform.mutation(org.admin, worker.host_id, str(mutation["id"]))["status"] == "applied"
    assert platform.hosts(org.admin)[0]["status"] == "online"
