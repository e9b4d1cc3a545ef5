"""Work over the wire: queue, claims, leases, and what runners report (2.4)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.platform.conftest import Org, StoreKind, make_org, platform_on
from tests.support.platform import Answer, PlatformProcess, TestWorker
from tests.support.waiting import eventually

from donmai_daemon.link.transport import MAX_ANSWER_BYTES
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.store.sqlite.database import FILE

ITEM: JsonObject = {
    "projectId": "alpha",
    "repository": "https://github.com/acme/alpha.git",
    "ref": "main",
    "title": "Mend the fence",
    "prompt": "Please.",
    "workType": "development",
    "resolvedProfile": {"provider": "anthropic", "model": "m", "allowedAuthModes": ["byok"]},
    "stageBudget": {"maxDurationSeconds": 60},
    "env": {"A": "b"},
    "mcpServers": [{"name": "s"}],
}


def put(platform: PlatformProcess, org: Org, **fields: Json) -> str:
    """Queue an item; its session id."""
    answer = platform.call("POST", "/api/sessions", org.member, ITEM | fields)
    assert answer.status == 201, answer.text
    assert set(answer.body) == {"sessionId"}
    return answer.text_of("sessionId")


def poll(platform: PlatformProcess, worker: TestWorker) -> list[JsonObject]:
    """The items that a poll claims."""
    answer = platform.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token)
    assert answer.status == 200, answer.text
    items = answer.list_of("work")
    assert answer.body["claimedSessionIds"] == [item["sessionId"] for item in items]
    assert (answer.body["preClaimed"], answer.body["hasInboxMessages"]) == (True, False)
    return items


def tell(
    platform: PlatformProcess, worker: TestWorker, session: str, what: str, token: str | None = None, **body: Json
) -> Answer:
    """Post to a route of the session."""
    sent: JsonObject = {"workerId": worker.worker_id}
    return platform.call("POST", f"/api/sessions/{session}/{what}", token or worker.token, sent | body)


def status_of(platform: PlatformProcess, org: Org, session: str) -> JsonObject:
    """How the session stands."""
    return platform.call("GET", f"/api/sessions/{session}/status", org.member).body


@pytest.fixture
def workplace(platform: PlatformProcess, org: Org, request: pytest.FixtureRequest) -> Org:
    """An organisation of its own for each test, so that queues do not meet."""
    return make_org(platform, f"org-{request.node.name.replace(chr(91), chr(46)).rstrip(chr(93))}")


def test_a_work_item_travels_whole(platform: PlatformProcess, workplace: Org) -> None:
    """What was queued is what a poll brings, with ids, a claim, and the time of queueing in milliseconds."""
    worker = platform.register(workplace.worker)
    before = int(time.time() * 1000)
    session = put(platform, workplace, unknownField="dropped", issueId=None)
    items = poll(platform, worker)
    assert len(items) == 1
    item = items[0]
    queued_at = item.pop("queuedAt")
    assert isinstance(queued_at, int)
    assert before - 1000 <= queued_at <= time.time() * 1000 + 1000
    assert str(item.pop("claimId")).startswith("clm_")
    assert item == ITEM | {"sessionId": session, "organizationId": workplace.name, "priority": 3}
    assert poll(platform, worker) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"projectId": None}, "projectId"),
        ({"projectId": ""}, "projectId"),
        ({"repository": 5}, "repository"),
        ({"priority": "high"}, "priority"),
        ({"env": []}, "env"),
        ({"mcpServers": {}}, "mcpServers"),
        ({"resolvedProfile": "p"}, "resolvedProfile"),
    ],
)
def test_a_bad_item_names_the_field(
    platform: PlatformProcess, org: Org, change: dict[str, Json], field: str
) -> None:
    """A work item of the wrong shape is 400 and not queued."""
    answer = platform.call("POST", "/api/sessions", org.member, ITEM | change)
    assert answer.status == 400
    assert answer.text_of("error").startswith(f"{field}: ")


def test_who_may_queue(platform: PlatformProcess, org: Org, other_org: Org, worker: TestWorker) -> None:
    """Members and above queue, look and stop; worker keys and tokens do not; another organisation finds nothing."""
    assert platform.call("POST", "/api/sessions", None, ITEM).status == 401
    assert platform.call("POST", "/api/sessions", worker.token, ITEM).status == 401
    assert platform.call("POST", "/api/sessions", org.worker, ITEM).status == 403
    session = put(platform, org, projectId="who-may")
    path = f"/api/sessions/{session}"
    assert platform.call("GET", f"{path}/status", org.worker).status == 403
    assert platform.call("GET", f"{path}/status", other_org.owner).status == 404
    assert platform.call("POST", f"{path}/stop", other_org.owner).status == 404
    assert platform.call("POST", f"{path}/stop", org.worker).status == 403
    assert platform.call("GET", f"{path}/status").status == 401
    assert platform.call("GET", f"{path}/status", worker.token).body["status"] == "pending"
    assert platform.call("POST", f"{path}/stop", org.member).body["status"] == "stopped"


def test_the_queue_is_served_by_priority_then_age(platform: PlatformProcess, workplace: Org) -> None:
    """The lowest priority number first, the oldest first among equals, and no more than there is room for."""
    worker = platform.register(workplace.worker, capacity=2)
    late = put(platform, workplace, priority=9)
    usual = [put(platform, workplace) for _ in range(2)]
    urgent = put(platform, workplace, priority=0)
    assert platform.beat(worker).body["pendingWorkCount"] == 4
    assert [item["sessionId"] for item in poll(platform, worker)] == [urgent, usual[0]]
    assert poll(platform, worker) == []
    assert platform.beat(worker, maxSessions=4).body["pendingWorkCount"] == 2
    assert [item["sessionId"] for item in poll(platform, worker)] == [usual[1], late]


def test_room_is_what_the_beat_leaves(platform: PlatformProcess, workplace: Org) -> None:
    """No more than maxSessions less activeCount, none for capacity 0, none for a draining or pool-less host."""
    worker = platform.register(workplace.worker, capacity=0)
    for _ in range(4):
        put(platform, workplace)
    assert poll(platform, worker) == []
    platform.beat(worker, maxSessions=3, activeCount=2)
    platform.beat(worker, maxSessions=3, activeCount=2, status="draining")
    assert poll(platform, worker) == []
    platform.beat(worker, maxSessions=3, activeCount=2)
    platform.operated("host", "status", worker.host_id, "pool_paused")
    assert poll(platform, worker) == []
    platform.operated("host", "status", worker.host_id, "ok")
    assert len(poll(platform, worker)) == 1


def test_a_former_workers_last_words_do_not_bind_the_new_one(platform: PlatformProcess, workplace: Org) -> None:
    """A daemon that said it was draining, ended and registered again is offered work before its first beat."""
    former = platform.register(workplace.worker, "restarted")
    platform.beat(former, status="draining", maxSessions=0)
    put(platform, workplace)
    assert len(poll(platform, platform.register(workplace.worker, "restarted"))) == 1


def test_work_goes_to_machines_that_take_its_project(platform: PlatformProcess, workplace: Org) -> None:
    """A machine that enumerates its projects is offered those only; one that takes all, or never said, anything."""
    alpha = platform.register(
        workplace.worker, "alpha-only", projectIds=["alpha"], projectAdmissionMode="enumerated", daemonProjects=[]
    )
    anything = platform.register(
        workplace.worker, "anything", projectIds=[], projectAdmissionMode="all-routed", daemonProjects=[]
    )
    beta = put(platform, workplace, projectId="beta")
    mine = put(platform, workplace, projectId="alpha")
    assert [item["sessionId"] for item in poll(platform, alpha)] == [mine]
    assert [item["sessionId"] for item in poll(platform, anything)] == [beta]
    gamma = put(platform, workplace, projectId="gamma")
    assert poll(platform, alpha) == []
    report: dict[str, Json] = {"allowlistHash": "1" * 64, "allowlist": [], "enabledProjectIds": ["alpha", "gamma"]}
    body: JsonObject = {"activeCount": 0, "maxSessions": 4, "projectAdmissionMode": "enumerated", **report}
    platform.call("POST", f"/api/workers/{alpha.worker_id}/heartbeat", alpha.token, body)
    assert [item["sessionId"] for item in poll(platform, alpha)] == [gamma]


def test_the_life_of_a_session(platform: PlatformProcess, workplace: Org) -> None:
    """Claimed, running, finalizing, completed: each once; a repetition is 409 with status, worker and claim as they are."""
    worker = platform.register(workplace.worker)
    session = put(platform, workplace)
    claim = poll(platform, worker)[0]["claimId"]
    assert status_of(platform, workplace, session)["status"] == "pending"
    for status in ("claimed", "running", "finalizing", "completed"):
        answer = tell(platform, worker, session, "status", status=status, claimId=claim)
        assert answer.status == 200, answer.text
        again = tell(platform, worker, session, "status", status=status, claimId=claim)
        assert again.status == 409
        assert again.body.pop("error")
        assert again.body == {
            "code": "illegal_transition", "status": status, "workerId": worker.worker_id, "claimId": claim,
        }  # fmt: skip
    assert tell(platform, worker, session, "completion", summary="mended").status == 200
    shown = status_of(platform, workplace, session)
    assert (shown["status"], shown["summary"]) == ("completed", "mended")
    assert "endedAt" in shown


def test_how_a_session_failed_is_kept(platform: PlatformProcess, workplace: Org) -> None:
    """Error text and exit code of the last status are shown."""
    worker = platform.register(workplace.worker)
    session = put(platform, workplace)
    poll(platform, worker)
    tell(platform, worker, session, "status", status="running")
    tell(platform, worker, session, "status", status="failed", error="it broke", exitCode=3)
    shown = status_of(platform, workplace, session)
    assert (shown["status"], shown["error"], shown["exitCode"]) == ("failed", "it broke", 3)


def test_a_poll_brings_no_more_than_a_daemon_reads(platform: PlatformProcess, workplace: Org) -> None:
    """Items that do not fit into one answer of 1 MiB beside others stay in their place, and come with later polls."""
    worker = platform.register(workplace.worker, capacity=8)
    sessions: list[Json] = []
    for prompt in ("é" * 100_000, "b" * 200_000, "c" * 200_000, "d", "é" * 120_000):
        # As UTF-8, which takes a third of what the answer takes to say it in ASCII.
        body = json.dumps(ITEM | {"prompt": prompt}, ensure_ascii=False).encode()
        sessions.append(platform.call("POST", "/api/sessions", workplace.member, body).text_of("sessionId"))
    brought: list[list[Json]] = []
    while sum(map(len, brought)) < len(sessions):
        answer = platform.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token)
        assert len(answer.text) < MAX_ANSWER_BYTES
        brought.append([item["sessionId"] for item in answer.list_of("work")])
        assert brought[-1]
    assert brought == [sessions[:2], sessions[2:4], sessions[4:]]


def test_another_workers_claim_is_not_touched(platform: PlatformProcess, workplace: Org) -> None:
    """Status, nack, activity and completion of another worker's session are 409; its name with my token is 403."""
    owner, other = platform.register(workplace.worker, "owner"), platform.register(workplace.worker, "other")
    session = put(platform, workplace)
    claim = poll(platform, owner)[0]["claimId"]
    bodies: dict[str, JsonObject] = {
        "status": {"status": "running"},
        "nack": {"reason": "r"},
        "activity": {"activity": {"type": "thought", "content": "c"}},
        "completion": {"summary": "s"},
    }
    for what, body in bodies.items():
        path = f"/api/sessions/{session}/{what}"
        answer = platform.call("POST", path, other.token, body | {"workerId": other.worker_id})
        assert answer.status == 409, what
        assert (answer.body["workerId"], answer.body["claimId"]) == (owner.worker_id, claim)
        assert platform.call("POST", path, other.token, body | {"workerId": owner.worker_id}).status == 403, what
    assert tell(platform, other, session, "lock-refresh").body == {"refreshed": False}
    assert status_of(platform, workplace, session)["workerId"] == owner.worker_id


def test_another_organisation_finds_no_session(platform: PlatformProcess, workplace: Org, other_org: Org) -> None:
    """Every route of a session is 404 for another organisation's worker, and for a session that is not there."""
    stranger = platform.register(other_org.worker, "stranger")
    session = put(platform, workplace)
    for name in (session, "ses_none"):
        assert tell(platform, stranger, name, "status", status="running").status == 404
        assert tell(platform, stranger, name, "nack", reason="r").status == 404
        assert tell(platform, stranger, name, "lock-refresh").status == 404
        assert tell(platform, stranger, name, "completion", summary="s").status == 404
        activity: JsonObject = {"type": "action", "content": "c"}
        assert tell(platform, stranger, name, "activity", activity=activity).status == 404
    assert status_of(platform, workplace, session)["status"] == "pending"


def test_running_is_the_claim_of_a_queued_session(platform: PlatformProcess, workplace: Org) -> None:
    """`running` without a poll takes the session from the queue; the second one loses with 409."""
    first, second = platform.register(workplace.worker, "first"), platform.register(workplace.worker, "second")
    session = put(platform, workplace)
    won = tell(platform, first, session, "status", status="running", claimId="clm_of_mine")
    assert won.body == {"status": "running", "workerId": first.worker_id, "claimId": "clm_of_mine"}
    lost = tell(platform, second, session, "status", status="running")
    assert (lost.status, lost.body["code"], lost.body["workerId"]) == (409, "claimed_by_another", first.worker_id)
    again = tell(platform, first, session, "status", status="running", claimId="clm_of_mine")
    assert (again.status, again.body["status"], again.body["claimId"]) == (409, "running", "clm_of_mine")
    assert poll(platform, second) == []


def test_a_nack_gives_it_to_another(platform: PlatformProcess, workplace: Org) -> None:
    """Refused work is offered to others at once and not to the same host again; a second nack is 409."""
    picky, willing = platform.register(workplace.worker, "picky"), platform.register(workplace.worker, "willing")
    session = put(platform, workplace)
    item = poll(platform, picky)[0]
    answer = tell(platform, picky, session, "nack", reason="not here", work=item, claimId=item["claimId"])
    assert (answer.status, answer.body) == (200, {"requeued": True})
    assert tell(platform, picky, session, "nack", reason="not here").status == 409
    assert poll(platform, picky) == []
    told = status_of(platform, workplace, session)
    assert (told["nacks"], told["lastRefusal"]) == (1, "not here")
    again = poll(platform, willing)[0]
    assert {**again, "claimId": ""} == {**item, "claimId": ""}
    assert again["claimId"] != item["claimId"]


def test_a_nack_after_a_stop_ends_it(platform: PlatformProcess, workplace: Org) -> None:
    """What nobody wants any more is not queued again when it is given back, and the answer says so."""
    worker = platform.register(workplace.worker)
    session = put(platform, workplace)
    poll(platform, worker)
    platform.call("POST", f"/api/sessions/{session}/stop", workplace.member)
    answer = tell(platform, worker, session, "nack", reason="no room")
    assert (answer.status, answer.body) == (200, {"requeued": False})
    assert status_of(platform, workplace, session)["status"] == "stopped"
    assert poll(platform, worker) == []


def test_a_stop_reaches_the_runner(platform: PlatformProcess, workplace: Org) -> None:
    """After a stop was asked for, lock-refresh says so; asking again, and after the end, is harmless."""
    worker = platform.register(workplace.worker)
    session = put(platform, workplace)
    poll(platform, worker)
    tell(platform, worker, session, "status", status="running")
    assert tell(platform, worker, session, "lock-refresh", issueId="i").body == {"refreshed": True}
    for _ in range(2):
        asked = platform.call("POST", f"/api/sessions/{session}/stop", workplace.member)
        assert (asked.status, asked.body["stopRequested"]) == (200, True)
    assert tell(platform, worker, session, "lock-refresh").body == {"refreshed": True, "stop": True}
    tell(platform, worker, session, "status", status="stopped")
    assert platform.operated("work", "stop", session)["status"] == "stopped"
    assert tell(platform, worker, session, "lock-refresh").body == {"refreshed": False, "stop": True}


def test_a_former_worker_finishes_its_sessions(platform: PlatformProcess, workplace: Org) -> None:
    """A daemon that registered again reports for what its former worker id claimed, with its new token."""
    former = platform.register(workplace.worker, "reborn")
    session = put(platform, workplace)
    claim = poll(platform, former)[0]["claimId"]
    now = platform.register(workplace.worker, "reborn")
    assert tell(platform, former, session, "status", status="running", claimId=claim).status == 404
    by_old_name = tell(platform, former, session, "status", token=now.token, status="running", claimId=claim)
    assert by_old_name.body == {"status": "running", "workerId": former.worker_id, "claimId": claim}
    assert tell(platform, now, session, "status", status="completed", claimId=claim).status == 200


def test_every_move_of_a_session_is_on_record(platform: PlatformProcess, workplace: Org) -> None:
    """Who moved it from what to what: also the claim that is not confirmed yet, and the end that an operator asked for."""
    worker = platform.register(workplace.worker)
    session = put(platform, workplace)
    poll(platform, worker)
    tell(platform, worker, session, "nack", reason="r")
    tell(platform, worker, session, "status", status="running")
    tell(platform, worker, session, "status", status="running")
    tell(platform, worker, session, "status", status="completed")
    unwanted = put(platform, workplace)
    platform.operated("work", "stop", unwanted)
    rows = trail(platform, session)
    assert [row[1:] for row in rows] == [
        (None, "pending"), ("pending", "offered"), ("offered", "pending"), ("pending", "running"), ("running", "completed"),
    ]  # fmt: skip
    assert [row[0] for row in rows[1:]] == [worker.worker_id] * 4
    assert [row[1:] for row in trail(platform, unwanted)] == [(None, "pending"), ("pending", "stopped")]
    assert str(trail(platform, unwanted)[1][0]).startswith("cli:")


def trail(platform: PlatformProcess, session: str) -> list[tuple[Json, Json, Json]]:
    """Who, from, to: out of the store itself, as no route shows it."""
    if platform.store[0] == "--data-dir":
        with contextlib.closing(sqlite3.connect(Path(platform.store[1]) / FILE)) as connection:
            found = connection.execute("SELECT by, came_from, went_to FROM audit WHERE subject = ?", [session])
            return [(by, came_from, went_to) for by, came_from, went_to in found]
    client = redis.Redis.from_url(platform.store[3], decode_responses=True)
    with contextlib.closing(client):
        rows = [json.loads(row) for row in client.lrange(f"work:trail:{session}", 0, -1)]
    return [(row["by"], row["from"], row["to"]) for row in rows]


def test_activity_is_kept(platform: PlatformProcess, workplace: Org) -> None:
    """The owner's activities are taken and shown to members, other types refused with the field's name."""
    worker = platform.register(workplace.worker)
    session = put(platform, workplace)
    poll(platform, worker)
    for kind in ("thought", "action", "response", "error"):
        activity: JsonObject = {"type": kind, "content": "c" * 1000}
        assert tell(platform, worker, session, "activity", activity=activity).status == 200
    path = f"/api/sessions/{session}/activity"
    told = platform.call("GET", path, workplace.member).list_of("activities")
    assert [one["type"] for one in told] == ["thought", "action", "response", "error"]
    assert [one["type"] for one in platform.call("GET", f"{path}?limit=2", workplace.member).list_of("activities")] == [
        "response", "error",
    ]  # fmt: skip
    assert platform.call("GET", f"{path}?limit=0", workplace.member).status == 400
    assert platform.call("GET", path, workplace.worker).status == 403
    wrong: JsonObject = {"type": "song", "content": "la"}
    refused = tell(platform, worker, session, "activity", activity=wrong)
    assert (refused.status, refused.text_of("error")[:14]) == (400, "activity.type:")


@pytest.fixture
def hasty(store: StoreKind, tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform on which claims lapse within seconds."""
    with platform_on(
        store, tmp_path, "--claim-timeout", "1.2", "--lease", "1.6", "--rate-limit", "100000"
    ) as running:
        yield running


def until(platform: PlatformProcess, org: Org, session: str, wanted: str) -> JsonObject:
    """Wait until the session has a status, by what an operator can see."""
    return eventually(lambda: shown if (shown := status_of(platform, org, session))["status"] == wanted else None)


def test_claims_lapse(hasty: PlatformProcess) -> None:
    """A poll whose answer was lost gives the item back; confirmed and never run, too; what ran and went silent failed."""
    org = Org("acme", "", "", hasty.make_key("member"), hasty.make_key("worker"))
    worker, second = hasty.register(org.worker, "one"), hasty.register(org.worker, "two")
    session = put(hasty, org)
    lost = poll(hasty, worker)[0]["claimId"]
    claim = eventually(lambda: poll(hasty, second))[0]["claimId"]
    assert claim != lost
    late = tell(hasty, worker, session, "status", status="claimed", claimId=lost)
    assert (late.status, late.body["code"]) == (409, "claimed_by_another")
    assert tell(hasty, second, session, "status", status="claimed", claimId=claim).status == 200
    items = eventually(lambda: poll(hasty, worker))
    assert tell(hasty, second, session, "status", status="running", claimId=claim).status == 409
    assert tell(hasty, worker, session, "status", status="running", claimId=items[0]["claimId"]).status == 200
    shown = until(hasty, org, session, "failed")
    assert "stopped answering" in str(shown["error"])
    assert poll(hasty, second) == []


def test_beats_renew_the_lease(hasty: PlatformProcess) -> None:
    """A session whose daemon goes on beating keeps running long beyond its lease, without a lock-refresh."""
    org = Org("acme", "", "", hasty.make_key("member"), hasty.make_key("worker"))
    worker = hasty.register(org.worker)
    session = put(hasty, org)
    poll(hasty, worker)
    tell(hasty, worker, session, "status", status="running")
    begun = time.monotonic()
    while time.monotonic() - begun < 3.5:  # more than two leases
        hasty.beat(worker, activeCount=1)
        assert status_of(hasty, org, session)["status"] == "running"
    until(hasty, org, session, "failed")
