"""What the platform has acknowledged survives its death."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.platform.conftest import StoreKind, platform_on
from tests.support.platform import PARAMS, PlatformProcess, TestWorker

from donmai_daemon.model.json import Json


@pytest.fixture
def mortal(store: StoreKind, tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform that is killed and started again."""
    with platform_on(store, tmp_path, "--rate-limit", "100000") as running:
        yield running


def test_nothing_acknowledged_is_lost(mortal: PlatformProcess) -> None:
    """Killed by SIGKILL in mid-traffic, it has every mutation it answered 201 for, and every state it showed."""
    admin, key = mortal.make_key("admin"), mortal.make_key("worker")
    workers = [mortal.register(key, f"m{n}") for n in range(4)]
    accepted: list[tuple[str, str]] = []
    settled: list[tuple[str, str]] = []
    lock = threading.Lock()

    def drive(worker: TestWorker) -> None:
        acks: list[Json] = []
        with httpx.Client(base_url=mortal.url, trust_env=False, timeout=30) as http:
            try:
                while True:
                    made = http.post(
                        "/api/daemon/mutations",
                        headers={"Authorization": f"Bearer {admin}"},
                        json={"workerHostId": worker.host_id, "op": "project.add", "params": PARAMS},
                    )
                    with lock:
                        accepted.append((worker.host_id, made.json()["mutation"]["id"]))
                    beat = http.post(
                        f"/api/workers/{worker.worker_id}/heartbeat",
                        headers={"Authorization": f"Bearer {worker.token}"},
                        json={"activeCount": 0, "appliedMutations": acks},
                    )
                    beat.raise_for_status()
                    with lock:
                        settled.extend((worker.host_id, str(ack)) for ack in acks)
                        enough.set() if len(accepted) > 80 else None
                    acks = [m["id"] for m in beat.json()["pendingMutations"]]
            except httpx.TransportError:
                return  # it was killed

    enough = threading.Event()
    threads = [threading.Thread(target=drive, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    mortal.kill()
    for thread in threads:
        thread.join(30)
    mortal.start()
    states = {
        (worker.host_id, str(m["id"])): m["status"]
        for worker in workers
        for m in mortal.mutations(admin, worker.host_id)
    }
    assert set(accepted) <= set(states)
    assert settled
    assert {states[one] for one in settled} == {"applied"}
    for worker in workers:
        waiting = [str(m["id"]) for m in mortal.beat(worker).list_of("pendingMutations")]
        open_ones = [m for (host, m), status in states.items() if host == worker.host_id and status != "applied"]
        assert sorted(waiting) == sorted(open_ones)


def test_a_clean_stop_exits_0_and_keeps_liveness(mortal: PlatformProcess) -> None:
    """SIGTERM ends it with exit code 0, held beats are answered, and what beats said is there after a restart."""
    admin, worker = mortal.make_key("admin"), mortal.register(mortal.make_key("worker"))
    answers: list[int] = []
    seen = mortal.beat(worker, activeCount=1)
    assert seen.status == 200
    holding = threading.Thread(target=lambda: answers.append(mortal.beat(worker, activeCount=2, wait=25).status))
    holding.start()
    while mortal.hosts(admin)[0]["activeCount"] != 2:
        assert holding.is_alive()
    assert mortal.stop() == 0
    holding.join(10)
    assert answers == [200]
    mortal.start()
    assert mortal.hosts(admin)[0]["activeCount"] == 2
    assert mortal.beat(worker).status == 200


def test_claims_survive(mortal: PlatformProcess) -> None:
    """A claim that was answered is still that worker's after SIGKILL, and its payload is not in the queue again."""
    member, worker = mortal.make_key("member"), mortal.register(mortal.make_key("worker"))
    session = mortal.call("POST", "/api/sessions", member, {"projectId": "a", "prompt": "p"}).text_of("sessionId")
    item = mortal.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token).list_of("work")[0]
    mortal.kill()
    mortal.start()
    assert mortal.call("GET", f"/api/workers/{worker.worker_id}/poll", worker.token).body["work"] == []
    body: dict[str, Json] = {"workerId": worker.worker_id, "status": "running", "claimId": item["claimId"]}
    assert mortal.call("POST", f"/api/sessions/{session}/status", worker.token, body).status == 200
