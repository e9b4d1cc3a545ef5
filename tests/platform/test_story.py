"""The whole story, with a real daemon: queue, apply, see, cancel, undo, and a sandbox that takes over a session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.platform.conftest import StoreKind, make_org, platform_on
from tests.support.daemon import DaemonProcess, Machine, config_for
from tests.support.platform import PARAMS, PlatformProcess
from tests.support.waiting import eventually

from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import JsonObject


@pytest.fixture
def usual(store: StoreKind, tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform with the usual interval of 30 s: whatever comes sooner comes because a held beat was ended."""
    with platform_on(store, tmp_path) as running:
        yield running


@pytest.fixture
def machine(usual: PlatformProcess) -> Iterator[Machine]:
    """A machine whose daemon has joined."""
    org = make_org(usual, "acme")
    with tempfile.TemporaryDirectory(prefix="dmn", dir="/tmp") as directory:
        daemon = DaemonProcess(Path(directory), config_for(usual.url, ""), org.worker, "story-machine", None)
        try:
            daemon.start()
            made = Machine(daemon, usual, org.admin, "story-machine")
            made.joined()
            yield made
        finally:
            daemon.close()


def test_the_whole_story(usual: PlatformProcess, machine: Machine) -> None:
    """An admin queues, the daemon applies, the admin sees; cancelled before delivery, refused after; undone byte for byte;
    a sandbox reads a queued session, claims it, and nobody else reads it again."""
    admin, host = machine.key, machine.host_id
    untouched = machine.daemon.file.read_bytes()

    def ended(mutation: JsonObject) -> JsonObject:
        eventually(lambda: usual.mutation(admin, host, str(mutation["id"]))["status"] in ("applied", "failed"))
        return usual.mutation(admin, host, str(mutation["id"]))

    begun = datetime.now(UTC)
    added = ended(usual.enqueue(admin, host))
    assert added["status"] == "applied"
    assert datetime.now(UTC) - begun < timedelta(seconds=20), "it waited for the regular beat"
    assert b"[projects.alpha]" in machine.daemon.file.read_bytes()

    later = usual.enqueue(admin, host, notBefore=rfc3339(datetime.now(UTC) + timedelta(hours=1)))
    assert usual.cancel(admin, str(later["id"])).body == {"cancelled": True}
    refused = usual.cancel(admin, str(added["id"]))
    assert (refused.status, refused.body) == (409, {"cancelled": False, "reason": "already_delivered"})

    undo = usual.call("POST", f"/api/daemon/mutations/{added['id']}/undo", admin)
    assert undo.status == 201, undo.text
    assert ended(undo.object_of("mutation"))["status"] == "applied"
    assert machine.daemon.file.read_bytes() == untouched

    item: JsonObject = {"projectId": "nobody-has-it", "prompt": "in confidence", "repository": PARAMS["repository"]}
    session = usual.call("POST", "/api/sessions", admin, item).text_of("sessionId")
    token = str(usual.operated("work", "token", session)["token"])
    detail = usual.call("GET", f"/api/daemon/sessions/{session}", token).body
    assert detail["prompt"] == "in confidence"
    running: JsonObject = {"workerId": detail["workerId"], "claimId": detail["claimId"], "status": "running"}
    assert usual.call("POST", f"/api/sessions/{session}/status", str(detail["authToken"]), running).status == 200
    after = usual.call("GET", f"/api/daemon/sessions/{session}", token).body
    assert set(after) == {"sessionId", "workerId", "authToken", "platformUrl"}
    assert usual.call("GET", f"/api/daemon/sessions/{session}").status == 401
