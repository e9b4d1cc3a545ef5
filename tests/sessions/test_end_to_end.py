"""Work from the platform's queue to its end, through real processes: platform, daemon, runner, git, agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agent import git, make_repository, shell
from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually
from tests.support.workplace import Machine, Workplace

from donmai_daemon.model.json import JsonObject

QUICK = ("--heartbeat-interval", "1", "--poll-interval", "1")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    with PlatformProcess.embedded(tmp_path / "platform", QUICK) as platform:
        yield Workplace(platform)


def config(script: str, more: str = '[admission]\nmode = "all-routed"\n') -> str:
    return f"{more}[agent]\ncommand = {json.dumps(shell(script))}\n"


def test_queued_work_is_done_and_told(place: Workplace, tmp_path: Path) -> None:
    """The platform queues, the daemon claims, the runner clones a real repository and runs a script; completed."""
    repository = make_repository(tmp_path / "repository")
    machine = Machine(
        tmp_path / "machine", place.platform, place.worker_key, config('cat file; test "$(cat)" = "do it"')
    )
    machine.start()
    try:
        session = place.queue(repository=str(repository), ref="main", prompt="do it")
        assert place.until_ended(session) == "completed", machine.log_text()
        worktree = machine.state / "sessions" / "worktrees" / session
        assert git(worktree, "rev-parse", "HEAD") == git(repository, "rev-parse", "main")
        assert b"2\n" in (machine.state / "sessions" / "logs" / f"{session}.log").read_bytes()
    finally:
        machine.close()


def test_refused_work_goes_back_with_its_reason(place: Workplace, tmp_path: Path) -> None:
    """What admission refuses is queued again by the platform, which is told why."""
    strict = Machine(
        tmp_path / "strict", place.platform, place.worker_key,
        config("exit 0", '[projects.alpha]\nrepositories = ["https://h/a"]\n'), "strict",
    )  # fmt: skip
    strict.start()
    try:
        session = place.queue(repository="https://h/other")
        eventually(lambda: '"session.refused"' in strict.log_text())
        eventually(lambda: "does not belong to project" in place.platform.log_text())
        assert place.status(session) == "pending"
    finally:
        strict.close()


def test_a_session_is_stopped_on_the_machine(place: Workplace, tmp_path: Path) -> None:
    """`donmai host sessions stop` ends it with its agent, and the platform knows it as stopped."""
    machine = Machine(
        tmp_path / "machine", place.platform, place.worker_key, config(f"touch {tmp_path}/up; sleep 600")
    )
    machine.start()
    try:
        session = place.queue()
        eventually((tmp_path / "up").exists)
        told = machine.host("sessions", "stop", session, "--json")
        assert json.loads(told.stdout) == {"sessionId": session, "stopped": True, "mode": "terminated"}
        assert place.until_ended(session) == "stopped"
    finally:
        machine.close()


def test_the_platform_kills_a_session(place: Workplace, tmp_path: Path) -> None:
    """`session.kill` ends one session and no other; again is success; of a session nobody knows it is a failure."""
    script = f"echo > {tmp_path}/up-$DONMAI_SESSION_ID; sleep 600"
    machine = Machine(tmp_path / "machine", place.platform, place.worker_key, config(script))
    machine.start()
    try:
        one, other = place.queue(), place.queue()
        eventually(lambda: all((tmp_path / f"up-{session}").exists() for session in (one, other)))
        assert place.mutate("session.kill", {"sessionId": one, "reason": "enough"}) == ("applied", None)
        assert place.status(one) == "stopped"
        assert place.status(other) == "running"
        assert place.mutate("session.kill", {"sessionId": one}) == ("applied", None)
        assert place.mutate("session.kill", {"sessionId": "ses_x"}) == ("failed", "session not known")
    finally:
        machine.close()


def test_a_policy_counts_from_the_next_admission_on(place: Workplace, tmp_path: Path) -> None:
    """What `modelAccess.set` denies is given back as soon as it is applied, with the cell that denies it."""
    machine = Machine(tmp_path / "machine", place.platform, place.worker_key, config("exit 0"))
    machine.start()
    profile: JsonObject = {"provider": "acme", "model": "m1", "allowedAuthModes": ["byok"]}
    try:
        assert place.until_ended(place.queue(resolvedProfile=profile)) == "completed"
        policy: JsonObject = {"matrix": {"acme": {"byok": {"allowed": False}}}}
        assert place.mutate("modelAccess.set", {"policy": policy}) == ("applied", None)
        session = place.queue(resolvedProfile=profile)
        eventually(lambda: '"code":"access_denied"' in machine.log_text())
        eventually(lambda: "model access denied: acme/m1: denied by acme.byok" in place.platform.log_text())
        assert place.status(session) == "pending"
    finally:
        machine.close()


def test_a_sandbox_needs_no_daemon(place: Workplace, tmp_path: Path) -> None:
    """With three variables, a home of its own and no daemon, the same command does the same work; twice it does not."""
    repository = make_repository(tmp_path / "repository")
    session = place.queue(repository=str(repository), ref="v1")
    token = place.platform.operated("work", "token", session)["token"]
    home = tmp_path / "home"
    home.mkdir()

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "donmai_daemon", "agent", "run"],
            cwd=home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "DONMAI_DAEMON_URL": place.platform.url,
                "DONMAI_SESSION_ID": session,
                "DONMAI_RUNTIME_JWT": str(token),
                "DONMAI_AGENT__COMMAND": json.dumps(shell(f"cat file; echo ran >> {tmp_path}/ran")),
            },
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    first = run()
    assert first.returncode == 0, first.stderr
    line = json.loads(first.stdout)
    assert (line["status"], line["worktreePath"]) == ("completed", str(home / "worktrees" / session))
    assert place.status(session) == "completed"
    assert git(home / "worktrees" / session, "rev-parse", "HEAD") == git(repository, "rev-parse", "v1")
    second = run()
    assert second.returncode == 2, second.stdout
    assert (tmp_path / "ran").read_text() == "ran\n"
