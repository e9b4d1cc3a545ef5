"""A mutation from the platform's queue to the file's bytes and back, for every operation there is."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.conftest import NewMachine
from tests.support.daemon import DaemonProcess, Machine, config_for
from tests.support.platform import PlatformProcess
from tests.support.relay import Exchange, relay
from tests.support.waiting import eventually

from donmai_daemon.model.json import JsonObject

ALPHA = "https://github.com/acme/alpha.git"
BETA = "git@github.com:acme/beta.git"


def applied(machine: Machine, op: str, params: JsonObject) -> bytes:
    """The file after a mutation that must go well."""
    assert machine.mutate(op, params) == ("applied", None)
    return machine.daemon.file.read_bytes()


def test_projects(machine: Machine) -> None:
    """Each operation on a project makes exactly its own bytes, and the way back is exact."""
    file = machine.daemon.file
    start = file.read_bytes()
    added = applied(machine, "project.add", {"id": "alpha", "repository": ALPHA})
    assert added == start + f'\n[projects.alpha]\nrepositories = ["{ALPHA}"]\n'.encode()
    inode = file.stat().st_ino
    assert applied(machine, "project.add", {"id": "alpha", "repository": "https://GitHub.com/acme/alpha"}) == added
    assert file.stat().st_ino == inode, "what changes nothing does not touch the file"
    second = applied(machine, "project.add", {"id": "alpha", "repository": BETA})
    assert second == added.replace(f'"{ALPHA}"'.encode(), f'"{ALPHA}", "{BETA}"'.encode())
    disabled = applied(machine, "project.disable", {"id": "alpha"})
    assert disabled == second + b"enabled = false\n"
    assert applied(machine, "project.enable", {"id": "alpha"}) == second
    assert applied(machine, "project.remove", {"id": "alpha"}) == start


def test_a_mutation_costs_no_token(machine: Machine) -> None:
    """A project says nothing about how the platform is reached: the token is fetched anew for a reload, and not for it."""
    daemon = machine.daemon
    applied(machine, "project.add", {"id": "alpha", "repository": ALPHA})
    applied(machine, "project.remove", {"id": "alpha"})
    assert daemon.logged("configuration.changed")
    assert not daemon.logged("identity.refreshed")
    daemon.post("/api/daemon/reload")
    daemon.until_logged("identity.refreshed")


def test_policies(machine: Machine) -> None:
    """Each operation on the model-access policy makes exactly its own bytes, and the way back is exact."""
    start = machine.daemon.file.read_bytes()
    policy: JsonObject = {"matrix": {"anthropic": {"byok": {"allowed": False}}}, "authOrder": ["metered", "local"]}
    one = applied(machine, "modelAccess.set", {"policy": policy})
    assert one == start + (
        b'\n[model_access.default]\nauth_order = ["metered", "local"]\n\n'
        b"[model_access.default.matrix.anthropic]\nbyok = { allowed = false }\n"
    )
    of_qa: JsonObject = {"workload": "qa", "policy": {"matrix": {"*": {"shared": {"allowed": True}}}}}
    assert applied(machine, "modelAccess.set", of_qa) == one + (
        b'\n[model_access.workloads.qa.matrix."*"]\nshared = { allowed = true }\n'
    )
    assert applied(machine, "modelAccess.clear", {"workload": "qa"}) == one
    assert applied(machine, "modelAccess.clear", {}) == start


def test_what_it_does_to_the_daemon_and_the_platform(machine: Machine) -> None:
    """Once applied, the daemon goes by it and the platform's list of machines shows it, without a restart."""
    machine.mutate("project.add", {"id": "beta", "repository": BETA})
    machine.mutate("project.add", {"id": "alpha", "repository": ALPHA})
    machine.mutate("project.disable", {"id": "alpha"})
    status = machine.daemon.status()
    assert status["projects"] == [
        {"projectId": "alpha", "enabled": False, "repositories": [ALPHA]},
        {"projectId": "beta", "enabled": True, "repositories": [BETA]},
    ]
    assert (status["enabledProjectIds"], status["appliedProjectIds"], status["projectsAllowed"]) == (
        ["beta"],
        ["beta"],
        1,
    )
    assert machine.daemon.get("/api/daemon/stats").body["allowedProjects"] == sorted([ALPHA, BETA])
    eventually(lambda: machine.host()["enabledProjectIds"] == ["beta"])
    eventually(lambda: machine.host()["pendingMutations"] == 0)


def test_a_deleted_pool_survives_a_restart(machine: Machine) -> None:
    """`pool.deleted` leaves the file alone and stops claiming; status says so after a restart as well, until told ok."""
    before = machine.daemon.file.read_bytes()
    params: JsonObject = {"poolId": "p1", "candidatePoolIds": ["p2", "p3"], "reason": "merged"}
    assert machine.mutate("pool.deleted", params) == ("applied", None)
    told: JsonObject = {"status": "pool_deleted", "candidatePoolIds": ["p2", "p3"]}
    assert machine.daemon.status()["hostStatus"] == told
    assert machine.daemon.stop() == 0
    machine.daemon.start()
    assert machine.daemon.status()["hostStatus"] == told, "known before any beat of this start"
    assert machine.daemon.file.read_bytes() == before
    machine.joined()
    machine.platform.operated("host", "status", machine.host_id, "ok")
    eventually(lambda: machine.daemon.status()["hostStatus"] == {"status": "ok"})


def test_an_unknown_session_cannot_be_killed(machine: Machine) -> None:
    """`session.kill` for a session that this machine never had fails, and says why."""
    assert machine.mutate("session.kill", {"sessionId": "s-1"}) == ("failed", "session not known")


def test_operations_of_another_time(new_machine: NewMachine, platform: PlatformProcess) -> None:
    """What this version cannot do, or only its owner may ask for, is settled as failed, and holds nobody else back."""
    with relay(platform.url) as between:
        machine = new_machine(url=between.url)
        ops = ["session.wake", "session.restart-harness", "project.frobnicate", "capacity.set"]
        extra: list[JsonObject] = [
            {"id": f"mut_x{n}", "op": op, "params": {"key": "max_sessions", "value": 1}, "requestedBy": "somebody"}
            for n, op in enumerate(ops)
        ]

        def deliver(exchange: Exchange) -> None:
            pending = exchange.answer.get("pendingMutations")
            if isinstance(pending, list):
                pending.extend(extra)

        between.edit = deliver
        machine.daemon.start()
        assert machine.mutate("project.add", {"id": "alpha", "repository": ALPHA}) == ("applied", None)
        expected = {f"mut_x{n}": f'unsupported mutation op "{op}" (upgrade daemon?)' for n, op in enumerate(ops)}

        def told() -> dict[str, object]:
            failures = [beat.body.get("mutationFailures") for beat in between.beats()]
            return {
                str(one["id"]): one["error"]
                for listed in failures
                if isinstance(listed, list)
                for one in listed
                if isinstance(one, dict)
            }

        between.until(lambda: told() == expected)


def test_the_owner_denies(new_machine: NewMachine) -> None:
    """An operation that `[remote]` denies is settled as failed; others go on, and so do the owner's own changes."""
    machine = new_machine('[remote]\nops = { "project.add" = "deny" }\n')
    machine.daemon.start()
    before = machine.daemon.file.read_bytes()
    assert machine.mutate("project.add", {"id": "alpha", "repository": ALPHA}) == (
        "failed", "denied by the machine owner",
    )  # fmt: skip
    assert machine.daemon.file.read_bytes() == before
    assert machine.mutate("project.enable", {"id": "alpha"}) == ("applied", None)
    change: JsonObject = {"op": "project.add", "params": {"id": "alpha", "repository": ALPHA}}
    assert machine.daemon.post("/api/daemon/mutations", change).status == 202
    eventually(lambda: ALPHA.encode() in machine.daemon.file.read_bytes())


def test_review_is_refused(short: Path, platform: PlatformProcess) -> None:
    """A `review` policy, which this version does not have, is a mistake in the file, and nothing is applied under it."""
    daemon = DaemonProcess(short / "d", config_for(platform.url, '[remote]\ndefault = "review"\n'), "", "m")
    done = daemon.host("config", "check", "--config", str(daemon.file))
    assert done.code == 1
    assert "remote.default: review is not available in this version" in done.err + done.out
    daemon.start()
    try:
        assert "line 5, column 1: remote.default: review" in str(daemon.conditions()["config_invalid"]["message"])
    finally:
        daemon.close()


def test_a_change_made_on_the_machine(new_machine: NewMachine, platform: PlatformProcess) -> None:
    """A local change can be seen before, takes the same way into the file, and is never told to the platform."""
    with relay(platform.url) as between:
        machine = new_machine(url=between.url)
        machine.daemon.start()
        machine.joined()
        file = machine.daemon.file
        before, inode = file.read_bytes(), file.stat().st_ino
        change: JsonObject = {"op": "project.add", "params": {"id": "alpha", "repository": ALPHA}}
        preview = machine.daemon.post("/api/daemon/mutations", {**change, "dryRun": True})
        assert preview.status == 200
        assert preview.body["outcome"] == "applied"
        assert f'+repositories = ["{ALPHA}"]' in preview.text_of("diff")
        assert (file.read_bytes(), file.stat().st_ino, machine.daemon.mutations()) == (before, inode, [])

        answer = machine.daemon.post("/api/daemon/mutations", change)
        assert (answer.status, answer.body["state"], answer.body["origin"]) == (202, "pending", "local")
        local = answer.text_of("id")
        assert local.startswith("loc_")
        record = eventually(
            lambda: next((m for m in machine.daemon.mutations() if m["id"] == local and m["outcome"]), None)
        )
        assert (record["outcome"], record["diff"]) == ("applied", preview.body["diff"])
        assert file.read_bytes() == before + f'\n[projects.alpha]\nrepositories = ["{ALPHA}"]\n'.encode()

        # A remote one after it: by the time its ack has gone, the local one's would have gone too.
        remote = machine.enqueue("project.disable", {"id": "alpha"})
        assert machine.settled(remote)["status"] == "applied"
        said = [json.dumps(beat.body) for beat in between.beats()]
        assert any(remote in body for body in said)
        assert not any(local in body for body in said)
        unknown = machine.daemon.post("/api/daemon/mutations", {"op": "session.wake", "params": {}})
        assert (unknown.status, unknown.body["code"]) == (400, "unsupported_op")


def test_many_at_once(machine: Machine) -> None:
    """A queue that filled while the machine was away is one replacement of the file and an outcome for each."""
    count = 500
    assert machine.daemon.stop() == 0
    host = machine.host_id
    for n in range(count):
        machine.platform.enqueue(
            machine.key, host, "project.add", {"id": f"p{n:03}", "repository": f"https://git.example.com/p{n:03}"}
        )
    since = len(machine.daemon.log)
    machine.daemon.start()
    eventually(lambda: machine.host()["pendingMutations"] == 0, 60)
    assert {m["status"] for m in machine.platform.mutations(machine.key, host)} == {"applied"}
    assert len(machine.daemon.logged("applier.settled", since)) == 1
    assert machine.daemon.file.read_text().count("[projects.") == count
