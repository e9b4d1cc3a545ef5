"""`donmai agent run` as a process: what it reports, prints, leaves and refuses."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.support.agent import Sandbox, finish, shell
from tests.support.waiting import eventually
from tests.support.work import WorkServer

from donmai_daemon.model.json import JsonObject
from donmai_daemon.sessions.processes import identify


def statuses(server: WorkServer) -> list[str]:
    return [path for method, path in server.requests if path.endswith("/status")]


def test_a_run_goes_through_every_status(server: WorkServer, sandbox: Sandbox) -> None:
    """running, finalizing, completed; one line of JSON; exit 0."""
    job = server.add("ses_1")
    ran = sandbox.run("ses_1", shell("exit 0"))
    assert job.history == ["running", "finalizing", "completed"]
    assert ran.code == 0
    assert ran.line.pop("durationSeconds") is not None
    assert ran.line == {
        "sessionId": "ses_1",
        "status": "completed",
        "worktreePath": str(sandbox.worktrees / "ses_1"),
        "exitCode": 0,
    }


def test_a_failing_agent_fails_the_session(server: WorkServer, sandbox: Sandbox) -> None:
    """A nonzero exit code is reported as failed, with the code; exit 1."""
    job = server.add("ses_1")
    ran = sandbox.run("ses_1", shell("exit 3"))
    assert job.history[-1] == "failed"
    assert (ran.code, ran.line["status"], ran.line["exitCode"]) == (1, "failed", 3)
    assert ran.line["error"] == "the agent ended with exit code 3"


def test_an_agent_that_is_not_there_fails_the_session(server: WorkServer, sandbox: Sandbox) -> None:
    """A command that cannot be found is a failed session, not a failed runner."""
    job = server.add("ses_1")
    ran = sandbox.run("ses_1", ["no-such-agent"])
    assert job.history[-1] == "failed"
    assert (ran.code, ran.line["exitCode"]) == (1, 127)
    assert "agent command not found: no-such-agent" in ran.errors


def test_the_agent_gets_the_work_and_no_token(server: WorkServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """Prompt on standard input, detail in a private file, the decided model in the environment; no bearer anywhere near."""
    server.add(
        "ses_1",
        prompt="do this",
        env={"EXTRA": "1", "DONMAI_SESSION_ID": "forged"},
        resolvedProfile={"model": "m2", "authMode": "byok", "host": "gw.example"},
    )
    seen = tmp_path / "seen"
    script = f"""
        cat > {seen}.prompt; cp "$DONMAI_SESSION_FILE" {seen}.json; stat -c %a "$DONMAI_SESSION_FILE" > {seen}.mode
        env > {seen}.env; tr '\\0' '\\n' < /proc/$PPID/environ > {seen}.parent
    """
    ran = sandbox.run("ses_1", shell(script), {"DONMAI_SESSION_READ_TOKEN": server.token})
    assert ran.code == 0
    assert Path(f"{seen}.prompt").read_text() == "do this"
    assert Path(f"{seen}.mode").read_text() == "600\n"
    assert '"prompt": "do this"' in Path(f"{seen}.json").read_text()
    environment = Path(f"{seen}.env").read_text().splitlines()
    assert {"EXTRA=1", "DONMAI_SESSION_ID=ses_1", "DONMAI_MODEL=m2", "DONMAI_AUTH_MODE=byok"} <= set(environment)
    assert "DONMAI_MODEL_HOST=gw.example" in environment
    for text in (*environment, Path(f"{seen}.parent").read_text()):
        assert server.token not in text
    assert not any(line.startswith(("DONMAI_RUNTIME_JWT", "DONMAI_SESSION_READ_TOKEN")) for line in environment)
    assert [path.name for path in sandbox.worktrees.iterdir()] == ["ses_1"]


def test_what_the_agent_leaves_running_is_ended(server: WorkServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """A descendant in a session of its own, with a cleared environment and no parent, ends with its agent all the same."""
    server.add("ses_1")
    pid = tmp_path / "pid"
    script = f"(env -i setsid /bin/sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600' &) ; while [ ! -e {pid} ]; do sleep 0.01; done"
    assert sandbox.run("ses_1", shell(script)).code == 0
    assert identify(int(pid.read_text())) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_agent_in_good_order(
    server: WorkServer, sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    """TERM reaches the agent, which may tidy up; the session is reported as stopped."""
    job = server.add("ses_1")
    mark = tmp_path / "mark"
    script = f"trap 'echo tidied > {mark}; exit 0' TERM; echo > {mark}.up; while :; do sleep 0.05; done"
    runner = sandbox.start("ses_1", shell(script))
    eventually(Path(f"{mark}.up").exists)
    runner.send_signal(number)
    ran = finish(runner)
    assert mark.read_text() == "tidied\n"
    assert job.history == ["running", "finalizing", "stopped"]
    assert (ran.code, ran.line["status"], ran.line["error"]) == (1, "stopped", f"by {number.name}")


def test_what_has_ended_stays_ended(server: WorkServer, sandbox: Sandbox) -> None:
    """The platform is away when the work is done, and the runner told to stop while it tries: it still was completed."""
    server.add("ses_1")

    def away(_method: str, path: str, body: JsonObject) -> tuple[int, JsonObject] | None:
        return (503, {"error": "away"}) if path.endswith("/status") and body["status"] != "running" else None

    server.before = away
    runner = sandbox.start("ses_1", shell("exit 0"), hasty=True)
    server.wait(lambda: len(statuses(server)) > 2)
    runner.terminate()
    ran = finish(runner)
    assert (ran.code, ran.line["status"], ran.line["exitCode"]) == (0, "completed", 0)


def test_the_agent_dies_with_its_runner(server: WorkServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """Killed without warning, a runner takes its agent along."""
    server.add("ses_1")
    pid = tmp_path / "pid"
    runner = sandbox.start("ses_1", shell(f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600"))
    eventually(pid.exists)
    agent = identify(int(pid.read_text()))
    assert agent is not None
    runner.kill()
    runner.communicate()
    eventually(lambda: identify(agent.pid) != agent)


def test_the_platform_stops_a_session_by_its_lock(server: WorkServer, sandbox: Sandbox) -> None:
    """`stop: true` in the answer to a lock refresh ends the agent; the session is reported as stopped."""
    job = server.add("ses_1")
    server.stop.add("ses_1")
    ran = sandbox.run("ses_1", shell("sleep 600"), hasty=True)
    assert job.history[-1] == "stopped"
    assert ran.line["error"] == "the platform asked for it"


def test_a_lost_lock_stops_the_agent(server: WorkServer, sandbox: Sandbox) -> None:
    """Three refreshes that fail in a row: the session is somebody else's by now."""
    server.add("ses_1")
    answers: list[tuple[int, JsonObject]] = [
        (200, {"refreshed": True}),
        (500, {}),
        (200, {"refreshed": False}),
        (404, {}),
    ]

    def before(_method: str, path: str, _body: JsonObject) -> tuple[int, JsonObject] | None:
        return answers.pop(0) if path.endswith("/lock-refresh") else None

    server.before = before
    ran = sandbox.run("ses_1", shell("sleep 600"), hasty=True)
    assert not answers
    assert (ran.code, ran.line["error"]) == (1, "the lock on the session is lost")


def test_a_spent_budget_fails_the_session(server: WorkServer, sandbox: Sandbox) -> None:
    """`stageBudget.maxDurationSeconds` ends the agent; the session has failed."""
    job = server.add("ses_1", stageBudget={"maxDurationSeconds": 20})
    ran = sandbox.run("ses_1", shell("sleep 600"), hasty=True)
    assert job.history == ["running", "finalizing", "failed"]
    assert ran.line["error"] == "the budget of 20 s is spent"


def test_a_report_whose_answer_is_lost_counts_once(server: WorkServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """The report is made again, and the 409 that names this status, worker and claim is success: the agent runs once."""
    job = server.add("ses_1")
    lost: list[str] = []

    def before(_method: str, path: str, body: JsonObject) -> tuple[int, JsonObject] | None:
        if path.endswith("/status") and body["status"] not in lost:
            lost.append(str(body["status"]))
            return 0, {}
        return None

    server.before = before
    ran = sandbox.run("ses_1", shell(f"echo ran >> {tmp_path}/ran"), hasty=True)
    assert (ran.code, lost) == (0, ["running", "finalizing", "completed"])
    assert job.history == ["running", "finalizing", "completed"]
    assert (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.parametrize("claim", ["c2", None])
def test_a_claim_that_is_not_ours_starts_no_agent(
    server: WorkServer, sandbox: Sandbox, tmp_path: Path, claim: str | None
) -> None:
    """`running` refused: nothing of the agent begins, and nothing more is reported."""
    job = server.add("ses_1")
    job.claim_id = claim
    job.status = "running"
    ran = sandbox.run("ses_1", shell(f"touch {tmp_path}/ran"))
    assert ran.code == 1
    assert not (tmp_path / "ran").exists()
    assert len(statuses(server)) == 1


def test_a_credential_that_ran_out_is_renewed_by_reading_again(server: WorkServer, sandbox: Sandbox) -> None:
    """401 on a report: the detail is read again, and the new credential is used."""
    job = server.add("ses_1")
    job.detail["authToken"] = "stale"

    def before(method: str, _path: str, _body: JsonObject) -> tuple[int, JsonObject] | None:
        if method == "POST":
            job.detail["authToken"] = server.token
        return None

    server.before = before
    assert sandbox.run("ses_1", shell("exit 0")).code == 0
    assert job.history[-1] == "completed"


def test_a_daemon_that_is_still_starting_is_waited_for(server: WorkServer, sandbox: Sandbox) -> None:
    """503, 429 and 408 are tried again; the third try may be the good one."""
    server.add("ses_1")
    answers: list[tuple[int, JsonObject]] = [(503, {}), (429, {})]
    server.before = lambda method, _p, _b: answers.pop(0) if method == "GET" and answers else None
    assert sandbox.run("ses_1", shell("exit 0"), hasty=True).code == 0
    assert [method for method, _ in server.requests].count("GET") == 3


@pytest.mark.parametrize(
    ("status", "tries"), [(404, 1), (401, 1), (403, 1), (409, 1), (503, 3), (408, 3), (429, 3)]
)
def test_a_detail_that_is_refused_ends_the_run(
    server: WorkServer, sandbox: Sandbox, status: int, tries: int
) -> None:
    """Most 4xx are final at once; what may pass is tried three times. Exit 2, and nothing was begun."""
    server.before = lambda _m, _p, _b: (status, {"error": "no"})
    ran = sandbox.run("ses_1", shell("exit 0"), hasty=True)
    assert (ran.code, len(server.requests)) == (2, tries)
    assert ran.line["status"] == "failed"
    assert ran.line["error"] == f"platform answered {status}: no"


def test_a_detail_without_a_platform_is_refused(server: WorkServer, sandbox: Sandbox) -> None:
    """Without platformUrl there is nobody to report to: exit 2."""
    server.add("ses_1").detail.pop("platformUrl")
    ran = sandbox.run("ses_1", shell("exit 0"))
    assert (ran.code, ran.line["error"]) == (2, "the session's detail names no platformUrl")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"DONMAI_SESSION_ID": ""}, "no session"),
        ({"DONMAI_SESSION_ID": "../x"}, "the session id may hold only"),
        ({"DONMAI_RUNTIME_JWT": ""}, "no credential"),
        ({"DONMAI_RUNTIME_JWT": "two words"}, "DONMAI_RUNTIME_JWT holds no token"),
        ({"DONMAI_AGENT__COMMAND": "make test"}, "DONMAI_AGENT__COMMAND must be a JSON list"),
        ({"DONMAI_AGENT__COMMAND": "[]"}, "no agent command"),
        ({"DONMAI_START_GATE": "stdin"}, "whoever started this runner has gone"),
        ({"DONMAI_DAEMON_URL": "http://192.0.2.1/"}, "platform.url: http:// would send the token in clear"),
    ],
)
def test_what_is_missing_is_said_before_anything_begins(
    server: WorkServer, sandbox: Sandbox, changes: dict[str, str], error: str
) -> None:
    """Preflight: exit 2, one line of JSON, no request."""
    ran = sandbox.run("ses_1", shell("exit 0"), changes)
    assert (ran.code, server.requests) == (2, [])
    assert str(ran.line["error"]).startswith(error)


def test_the_log_of_a_session_stays_small(server: WorkServer, sandbox: Sandbox, tmp_path: Path) -> None:
    """25 MiB of output leave two files of at most 10 MiB, the newest output in the first."""
    server.add("ses_1")
    log = tmp_path / "ses_1.log"
    script = "dd if=/dev/zero bs=65536 count=400 2>/dev/null | tr '\\0' x; echo the end"
    with log.open("ab") as stderr:
        runner = sandbox.start("ses_1", shell(script), {"DONMAI_SESSION_LOG": str(log)}, stderr=stderr.fileno())
    assert finish(runner).code == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("ses_1.log*")}
    assert sizes.keys() == {"ses_1.log", "ses_1.log.1"}
    assert max(sizes.values()) <= 10 * 1024 * 1024
    assert b"the end\n" in log.read_bytes()
