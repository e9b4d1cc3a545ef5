"""Cancel against delivery: whatever the interleaving, a mutation is either cancelled or delivered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from tests.platform.conftest import Org
from tests.support.platform import Answer, PlatformProcess, TestWorker, read_answer

from donmai_daemon.model.json import Json, JsonObject

CLIENTS = 8


def race(
    platform: PlatformProcess,
    org: Org,
    workers: Sequence[TestWorker],
    rounds: int,
    beside: PlatformProcess | None = None,
) -> dict[str, int]:
    """In each round one mutation a worker is queued, and its cancel and its beat are sent at the same moment.

    The cancel goes to the process `beside` it on the same store, where there is one. Checks every one of them and returns how often each side won.
    """
    won = {"cancelled": 0, "delivered": 0}
    with ThreadPoolExecutor(CLIENTS) as clients, httpx.Client(trust_env=False) as http:

        def send(method: str, path: str, bearer: str, body: dict[str, Json] | None) -> Answer:
            url = (beside or platform).url if method == "DELETE" else platform.url
            return read_answer(
                http.request(
                    method, url + path, headers={"Authorization": f"Bearer {bearer}"}, json=body, timeout=60
                )
            )

        for round_ in range(rounds):
            queued = [(worker, str(platform.enqueue(org.admin, worker.host_id)["id"])) for worker in workers]
            pairs: list[tuple[TestWorker, str, Future[Answer], Future[Answer]]] = []
            for index, (worker, mutation) in enumerate(queued):
                path, beat_path = f"/api/daemon/mutations/{mutation}", f"/api/workers/{worker.worker_id}/heartbeat"
                # Which of the two has the better start alternates.
                if (index + round_) % 2:
                    cancelling = clients.submit(send, "DELETE", path, org.admin, None)
                    beating = clients.submit(send, "POST", beat_path, worker.token, {"activeCount": 0})
                else:
                    beating = clients.submit(send, "POST", beat_path, worker.token, {"activeCount": 0})
                    cancelling = clients.submit(send, "DELETE", path, org.admin, None)
                pairs.append((worker, mutation, cancelling, beating))
            for worker, mutation, cancelling, beating in pairs:
                cancelled, beaten = cancelling.result(), beating.result()
                assert beaten.status == 200, beaten.text
                ids = [m["id"] for m in beaten.list_of("pendingMutations")]
                if cancelled.status == 200:
                    assert mutation not in ids, "delivered and cancelled"
                    won["cancelled"] += 1
                else:
                    assert (cancelled.status, cancelled.body["reason"]) == (409, "already_delivered")
                    won["delivered"] += 1
                status = platform.mutation(org.admin, worker.host_id, mutation)["status"]
                assert status == ("cancelled" if cancelled.status == 200 else "delivered")
                again = platform.beat(worker, appliedMutations=[mutation])
                late = [m["id"] for m in again.list_of("pendingMutations")]
                assert mutation not in late
    return won


@pytest.fixture(scope="module")
def workers(platform: PlatformProcess, org: Org) -> list[TestWorker]:
    """Machines to race for."""
    return [platform.register(org.worker, f"racer-{n}") for n in range(CLIENTS)]


def test_a_mutation_is_cancelled_or_delivered(
    platform: PlatformProcess, org: Org, workers: list[TestWorker]
) -> None:
    """In 240 races no mutation is both, and each side wins some."""
    won = race(platform, org, workers, rounds=30)
    assert sum(won.values()) == 240
    assert min(won.values()) > 0, won


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_mutation_is_cancelled_or_delivered_always(
    platform: PlatformProcess, org: Org, workers: list[TestWorker]
) -> None:
    """In 5,200 races no mutation is both, and each side wins some."""
    won = race(platform, org, workers, rounds=650)
    assert sum(won.values()) == 5200
    assert min(won.values()) > 0, won


def test_nothing_cancelled_rides_along_with_a_redelivery(
    platform: PlatformProcess, org: Org, workers: list[TestWorker]
) -> None:
    """While one mutation is redelivered with every beat, others queued and cancelled at once are never in an answer."""
    worker = workers[0]
    anchor = str(platform.enqueue(org.admin, worker.host_id)["id"])
    platform.beat(worker)
    outcomes: dict[str, bool] = {}
    done = threading.Event()

    def queue_and_cancel() -> None:
        for _ in range(200):
            mutation = str(platform.enqueue(org.admin, worker.host_id)["id"])
            outcomes[mutation] = platform.cancel(org.admin, mutation).status == 200
            if list(outcomes.values()).count(True) >= 20:
                return

    def beat() -> set[str]:
        seen: set[str] = set()
        while not done.is_set():
            seen |= {str(m["id"]) for m in platform.beat(worker).list_of("pendingMutations")}
        return seen

    with ThreadPoolExecutor(4) as clients:
        beating = clients.submit(beat)
        try:
            for queueing in [clients.submit(queue_and_cancel) for _ in range(3)]:
                queueing.result()
        finally:
            done.set()
        seen = beating.result()
    assert anchor in seen
    cancelled = {mutation for mutation, was_cancelled in outcomes.items() if was_cancelled}
    assert cancelled
    assert not seen & cancelled
    platform.beat(worker, appliedMutations=[*sorted(seen)])


def test_many_cancels_cancel_once(platform: PlatformProcess, org: Org, workers: list[TestWorker]) -> None:
    """Of cancels sent at the same moment one is told `cancelled`, the others `already_cancelled`."""
    mutation = str(platform.enqueue(org.admin, workers[0].host_id)["id"])
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda _: platform.cancel(org.admin, mutation), range(CLIENTS)))
    reasons = sorted(str(answer.body.get("reason")) for answer in answers)
    assert reasons == ["None"] + ["already_cancelled"] * (CLIENTS - 1)


def test_one_machine_registering_many_times_has_one_worker(platform: PlatformProcess, org: Org) -> None:
    """Of registrations of one machine at the same moment one worker is left, and there is one host."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        registered = list(clients.map(lambda _: platform.register(org.worker, "stampede"), range(CLIENTS)))
    assert len({worker.host_id for worker in registered}) == 1
    assert [platform.beat(worker).status for worker in registered].count(200) == 1


def test_one_item_is_claimed_once(platform: PlatformProcess, org: Org, workers: list[TestWorker]) -> None:
    """Polls of many workers at the same moment share the queue out: every item once, none twice, none left."""
    queued = []
    for _ in range(12):
        answer = platform.call("POST", "/api/sessions", org.member, {"projectId": "alpha"})
        queued.append(answer.text_of("sessionId"))
    taken: list[Json] = []
    with ThreadPoolExecutor(CLIENTS) as clients:

        def poll(worker: TestWorker) -> list[Json]:
            answer = platform.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token)
            claimed = answer.body["claimedSessionIds"]
            assert isinstance(claimed, list)
            return claimed

        for claimed in clients.map(poll, workers):
            assert len(claimed) <= 2
            taken += claimed
    assert sorted(map(str, taken)) == sorted(queued)


def test_running_claims_once(platform: PlatformProcess, org: Org, workers: list[TestWorker]) -> None:
    """Of workers that report `running` of a queued session at the same moment one has it, the others 409 with its name."""
    for _ in range(10):
        body: JsonObject = {"projectId": "contested"}
        session = platform.call("POST", "/api/sessions", org.member, body).text_of("sessionId")

        def start(worker: TestWorker, session: str = session) -> Answer:
            told: JsonObject = {"workerId": worker.worker_id, "status": "running"}
            return platform.call("POST", f"/api/sessions/{session}/status", worker.token, told)

        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(start, workers))
        assert sorted(answer.status for answer in answers) == [200] + [409] * (len(workers) - 1)
        winner = next(worker for worker, answer in zip(workers, answers, strict=True) if answer.status == 200)
        assert {answer.text_of("workerId") for answer in answers} == {winner.worker_id}
        assert len({answer.text_of("claimId") for answer in answers}) == 1
        ended: JsonObject = {"workerId": winner.worker_id, "status": "completed"}
        assert platform.call("POST", f"/api/sessions/{session}/status", winner.token, ended).status == 200
