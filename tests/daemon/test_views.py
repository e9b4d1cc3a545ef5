"""What the daemon says of itself, field by field, as others' programs read it."""

from __future__ import annotations

import json

from tests.support.daemon import Machine
from tests.support.waiting import eventually

from donmai_daemon.model.json import JsonObject

STATUS = {
    "status", "version", "machineId", "workerId", "pid", "uptimeSeconds", "activeSessions", "maxSessions",
    "projectsAllowed", "projectAdmissionVersion", "projectAdmissionMode", "enabledProjectIds", "appliedProjectIds",
    "projects", "hostStatus", "heartbeat", "mutations", "conditions", "config", "timestamp",
}  # fmt: skip
STATS = {
    "capacity", "activeSessions", "queueDepth", "workerId", "registration", "allowedProjects", "enabledProjectIds",
    "appliedProjectIds", "projectAdmissionVersion", "projectAdmissionMode", "timestamp",
}  # fmt: skip
BEAT = {"intervalSeconds", "lastSentAt", "lastAcceptedAt", "lastError", "consecutiveFailures"}
MUTATION = {
    "id", "op", "params", "requestedAt", "requestedBy", "origin", "lane", "state", "outcome", "changed", "error",
    "diff", "receivedAt", "settledAt", "ackedAt",
}  # fmt: skip
ON_THE_WIRE = {
    "status", "activeCount", "activeInteractiveCount", "maxSessions", "load", "loadAverage", "allowlistHash", "seq",
    "configDigest",
}  # fmt: skip


def printed(machine: Machine, *argv: str) -> JsonObject:
    """What a `donmai host` verb prints as JSON."""
    done = machine.daemon.host(*argv, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def keys(value: object) -> set[str]:
    assert isinstance(value, dict)
    return set(value)


def test_fields(machine: Machine) -> None:
    """Status, stats, heartbeat and history carry exactly the fields that are documented, whoever asks."""
    mutation = machine.enqueue("project.add", {"id": "alpha", "repository": "https://github.com/acme/alpha"})
    assert machine.settled(mutation)["status"] == "applied"

    status = printed(machine, "status")
    assert keys(status) == STATUS
    assert keys(status["heartbeat"]) == BEAT
    assert keys(status["mutations"]) == {"pending", "review", "unsentAcks"}
    assert keys(status["config"]) == {"path", "digest", "valid"}
    assert status["hostStatus"] == {"status": "ok"}
    assert status["projects"] == [
        {"projectId": "alpha", "enabled": True, "repositories": ["https://github.com/acme/alpha"]}
    ]
    assert (status["status"], status["projectAdmissionVersion"], status["machineId"]) == (
        "ready", 2, machine.machine_id,
    )  # fmt: skip
    assert keys(machine.daemon.status()) == STATUS

    stats = printed(machine, "stats")
    assert keys(stats) == STATS
    assert stats["capacity"] == {"maxConcurrentSessions": 8, "availableSessions": 8}
    registration = stats["registration"]
    assert keys(registration) == {"status", "lastHeartbeatAt", "heartbeatRunning", "pollRunning"}
    assert stats["workerId"] == status["workerId"] == machine.host()["workerId"]

    heartbeat = machine.daemon.get("/api/daemon/heartbeat").body
    assert keys(heartbeat) == BEAT | {"lastBody", "lastAnswer"}
    assert heartbeat["intervalSeconds"] == 1
    # The full report went with the change; once it is accepted, a beat is this.
    eventually(lambda: keys(machine.daemon.get("/api/daemon/heartbeat").body["lastBody"]) <= ON_THE_WIRE)

    (record,) = machine.daemon.mutations()
    assert keys(record) == MUTATION
    assert (record["id"], record["state"], record["outcome"], record["origin"]) == (
        mutation, "settled", "applied", "remote",
    )  # fmt: skip
    shown = printed(machine, "mutations", "show", mutation)
    assert keys(shown) == MUTATION
    assert '+repositories = ["https://github.com/acme/alpha"]' in str(shown["diff"])


def test_times_tell_the_truth(machine: Machine) -> None:
    """The last accepted beat is one that was accepted, and goes on; the answer that came with it is shown."""

    def beat() -> JsonObject:
        return machine.daemon.get("/api/daemon/heartbeat").body

    first = beat()
    assert str(first["lastAcceptedAt"]) <= str(machine.daemon.status()["timestamp"])
    eventually(lambda: str(beat()["lastAcceptedAt"]) > str(first["lastAcceptedAt"]))
    answer = beat()["lastAnswer"]
    assert isinstance(answer, dict)
    assert (answer["hostStatus"], answer["pendingMutations"], answer["heldBeats"]) == ({"status": "ok"}, 0, True)
