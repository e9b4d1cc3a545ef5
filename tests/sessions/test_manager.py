"""Sessions with real runners: started, watched, stopped, reported, adopted; none twice, none forgotten, nothing left."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.agent import shell
from tests.support.sessions import House, config, house, work
from tests.support.waiting import eventually
from tests.support.work import WorkServer, work_server

from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.session import Refusal
from donmai_daemon.sessions.processes import descendants, identify
from donmai_daemon.sessions.record import RecordStore, SessionRecord
from donmai_daemon.sessions.work import PollAnswer, read_poll_answer

pytestmark = pytest.mark.anyio
STAMP = "2026-11-24T06:00:00.000Z"


@pytest.fixture
def server() -> Iterator[WorkServer]:
    with work_server() as server:
        yield server


def waits(directory: Path) -> list[str]:
    """An agent that says it is up, `up-<session>`, and ends well once `go-<session>` is there."""
    return shell(
        f"echo $$ > {directory}/pid-$DONMAI_SESSION_ID; touch {directory}/up-$DONMAI_SESSION_ID;"
        f" echo $DONMAI_SESSION_ID >> {directory}/runs;"
        f" while [ ! -e {directory}/go-$DONMAI_SESSION_ID ]; do sleep 0.02; done"
    )


async def up(directory: Path, *session_ids: str) -> None:
    for session_id in session_ids:
        await anyio.to_thread.run_sync(eventually, (directory / f"up-{session_id}").exists)


def agent_pid(directory: Path, session_id: str) -> int:
    return int((directory / f"pid-{session_id}").read_text())


async def test_work_that_is_taken_runs_and_is_reported(server: WorkServer, tmp_path: Path) -> None:
    """From the claim to completed; the detail goes, the log stays, private."""
    async with house(tmp_path, server, config(command=shell("echo from the agent"))) as home:
        await home.take(work())
        record = await home.reported("ses_1")
        assert (record.outcome, record.exit_code, record.detail) == ("completed", 0, {})
        assert server.jobs["ses_1"].history == ["running", "finalizing", "completed"]
        assert home.manager.active_count == 0
        assert home.manager.handles() == []
        log = home.files.log("ses_1")
        assert b"from the agent\n" in log.read_bytes()
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_the_environment_is_an_allow_list(server: WorkServer, tmp_path: Path) -> None:
    """Of the daemon's environment the agent sees only what a program needs; the daemon's address is the bound one."""
    script = shell(f"env > {tmp_path}/env")
    async with house(tmp_path, server, config(command=script)) as home:
        await home.take(work())
        await home.reported("ses_1")
        names = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
        assert "SECRET" not in names
        assert names["HOME"] == str(tmp_path)
        assert names["DONMAI_DAEMON_URL"] == f"http://127.0.0.1:{home.api.port}"
        assert {name for name in names if name.startswith("DONMAI_")} == {
            "DONMAI_DAEMON_URL", "DONMAI_SESSION_ID", "DONMAI_SESSION_FILE", "DONMAI_SESSION_MARK", "DONMAI_AUTH_MODE",
        }  # fmt: skip


async def test_everything_a_poll_brings_is_started_or_given_back(server: WorkServer, tmp_path: Path) -> None:
    """A good item starts; a refused, a malformed and an unreadable one are given back with their reasons."""
    server.add("good")
    payload: JsonObject = {
        "work": [
            {"sessionId": "odd", "projectId": 5},
            {"no": "id"},
            {"sessionId": "foreign", "projectId": "nope", "claimId": "c2"},
            {"sessionId": "good", "projectId": "alpha", "claimId": "c1", "queuedAt": "yesterday"},
        ],
        "claimedSessionIds": ["good", "lost"],
    }
    answer = read_poll_answer(payload)
    assert isinstance(answer, PollAnswer)
    async with house(tmp_path, server, config()) as home:
        await home.manager.take(answer)
        await home.reported("good")
        await anyio.to_thread.run_sync(server.wait, lambda: len(server.nacks) == 3)
    nacks = dict(server.nacks)
    assert nacks["odd"]["reason"] == "projectId is not a text"
    assert nacks["lost"]["reason"] == "the claim came without a readable work item"
    assert nacks["foreign"] == {
        "workerId": "wkr_1",
        "reason": 'project "nope" is not allowed',
        "claimId": "c2",
        "work": {"sessionId": "foreign", "projectId": "nope", "claimId": "c2"},
    }


async def test_a_duplicate_never_replaces_a_live_session(server: WorkServer, tmp_path: Path) -> None:
    """Another claim on it is given back, the same claim told again is passed over; the live one runs on, once."""
    async with house(tmp_path, server, config(command=waits(tmp_path))) as home:
        await home.take(work())
        await up(tmp_path, "ses_1")
        await home.manager.take(PollAnswer(items=(work(), work(claimId="c9", prompt="other"))))
        await anyio.to_thread.run_sync(server.wait, lambda: bool(server.nacks))
        assert [(name, body["claimId"]) for name, body in server.nacks] == [("ses_1", "c9")]
        assert server.nacks[0][1]["reason"] == "session is already running on this host"
        assert home.manager.active_count == 1
        (record,) = RecordStore(tmp_path / "sessions" / "records").load()
        assert (record.state, record.claim_id) == ("running", work().claim_id)
        (tmp_path / "go-ses_1").touch()
        assert (await home.reported("ses_1")).outcome == "completed"
    assert (tmp_path / "runs").read_text() == "ses_1\n"
    assert RecordStore(tmp_path / "sessions" / "records").load()[0].outcome == "completed"


async def test_two_admissions_at_once_do_not_share_a_place(server: WorkServer, tmp_path: Path) -> None:
    """The place is taken before anything is waited for."""
    async with house(tmp_path, server, config(max_sessions=1, command=waits(tmp_path))) as home:
        results: list[SessionRecord | Refusal] = []

        async def admit(session_id: str) -> None:
            results.append(await home.manager.admit(work(session_id), origin="platform"))

        server.add("a")
        server.add("b")
        async with anyio.create_task_group() as group:
            group.start_soon(admit, "a")
            group.start_soon(admit, "b")
        assert sorted(type(result).__name__ for result in results) == ["Refusal", "SessionRecord"]
        for name in "ab":
            (tmp_path / f"go-{name}").touch()


async def test_a_stop_ends_one_session_and_no_other(server: WorkServer, tmp_path: Path) -> None:
    """The stopped one is gone with its agent and reported as stopped; its sibling runs on; asking again is fine."""
    async with house(tmp_path, server, config(command=waits(tmp_path))) as home:
        await home.take(work("a"), work("b"))
        await up(tmp_path, "a", "b")
        assert (home.manager.active_count, home.manager.interactive_count) == (2, 0)
        assert await home.manager.stop("a", "because") == "terminated"
        assert identify(agent_pid(tmp_path, "a")) is None
        assert identify(agent_pid(tmp_path, "b")) is not None
        assert (await home.reported("a")).outcome == "stopped"
        assert (server.jobs["a"].status, server.jobs["a"].error) == ("stopped", "because")
        assert await home.manager.stop("a", "again") == "already_ended"
        assert await home.manager.stop("nobody", "x") is None
        assert await home.manager.kill("b", None) is True
        assert await home.manager.kill("b", "again") is True
        assert await home.manager.kill("nobody", None) is False


async def test_a_runner_that_does_not_listen_is_killed(server: WorkServer, tmp_path: Path) -> None:
    """After its time everything of the session is killed, whatever it ignores and wherever it went."""
    script = f"""trap '' TERM; read gate
        setsid /bin/sh -c 'trap "" TERM; echo $$ > {tmp_path}/apart; sleep 600' &
        while [ ! -e {tmp_path}/apart ]; do sleep 0.02; done; touch {tmp_path}/up-ses_1; sleep 600; sleep 600"""
    async with house(tmp_path, server, config(), runner=shell(script), term_seconds=0.2) as home:
        await home.take(work())
        await up(tmp_path, "ses_1")
        assert await home.manager.stop("ses_1", "because") == "killed"
        assert identify(int((tmp_path / "apart").read_text())) is None
        assert (await home.reported("ses_1")).error == "because"


async def test_a_runner_that_is_killed_leaves_nothing(server: WorkServer, tmp_path: Path) -> None:
    """The session fails and says why; its agent, though in a session of its own, is ended."""
    script = shell(f"setsid /bin/sh -c 'echo $$ > {tmp_path}/apart; sleep 600' & touch {tmp_path}/up-ses_1; wait")
    async with house(tmp_path, server, config(command=script)) as home:
        await home.take(work())
        await up(tmp_path, "ses_1")
        await anyio.to_thread.run_sync(eventually, lambda: (tmp_path / "apart").exists())
        runner = home.manager.handles()[0].process
        assert runner is not None
        os.kill(runner.pid, signal.SIGKILL)
        record = await home.reported("ses_1")
        assert record.error == "the session's runner ended by signal 9 without a result"
        assert server.jobs["ses_1"].status == "failed"
        assert identify(int((tmp_path / "apart").read_text())) is None


async def test_sessions_outlive_the_daemon_and_are_adopted(server: WorkServer, tmp_path: Path) -> None:
    """The next daemon finds what still runs, does not start it again, reports its end, and can stop it."""
    settings = config(command=waits(tmp_path))
    async with house(tmp_path, server, settings) as home:
        await home.take(work("a"), work("b"))
        await up(tmp_path, "a", "b")
    async with house(tmp_path, server, settings) as home:
        assert home.manager.active_count == 2
        (tmp_path / "go-a").touch()
        assert (await home.reported("a")).outcome == "completed"
        assert await home.manager.stop("b", "because") == "terminated"
        assert (await home.reported("b")).outcome == "stopped"
    assert sorted((tmp_path / "runs").read_text().split()) == ["a", "b"]
    async with house(tmp_path, server, settings) as home:
        assert home.manager.active_count == 0
        assert await home.manager.kill("a", None) is True
    assert not [name for name, _ in server.nacks]


@pytest.mark.parametrize("end", ["well", "killed"])
def test_an_end_while_the_daemon_was_away_is_reported(server: WorkServer, tmp_path: Path, end: str) -> None:
    """What ended meanwhile is reported by its own result, or as failed where it left none."""
    settings = config(command=waits(tmp_path))

    async def before() -> int:
        async with house(tmp_path, server, settings) as home:
            await home.take(work())
            await up(tmp_path, "ses_1")
            process = home.manager.handles()[0].process
            assert process is not None
            return process.pid

    async def after() -> SessionRecord:
        async with house(tmp_path, server, settings) as home:
            return await home.reported("ses_1")

    runner = anyio.run(before)
    if end == "well":
        (tmp_path / "go-ses_1").touch()
        server.wait(lambda: server.jobs["ses_1"].status == "completed")
    else:
        os.kill(runner, signal.SIGKILL)
    eventually(lambda: identify(runner) is None)
    record = anyio.run(after)
    assert record.outcome == ("completed" if end == "well" else "failed")
    assert server.jobs["ses_1"].status == record.outcome
    with suppress(ChildProcessError):
        os.waitpid(runner, 0)


@pytest.mark.parametrize("state", ["claimed", "starting"])
async def test_a_claim_that_had_not_begun_begins(server: WorkServer, tmp_path: Path, state: str) -> None:
    """Killed before the process id was on disk: nothing of the agent has begun, so the next daemon starts it, once."""
    records = RecordStore(tmp_path / "sessions" / "records")
    records.load()
    server.add("ses_1")
    before = SessionRecord("ses_1", "claimed", STAMP, worker_id="wkr_1", claim_id="c1", detail={"prompt": "p"})
    records.save(
        before if state == "claimed" else replace(before, state="starting", mark="earlier", token_digest="d")
    )
    async with house(tmp_path, server, config(command=shell(f"cat >> {tmp_path}/ran"))) as home:
        assert (await home.reported("ses_1")).outcome == "completed"
    assert server.jobs["ses_1"].history == ["running", "finalizing", "completed"]
    assert (tmp_path / "ran").read_text() == "p"
    assert not server.nacks


async def test_a_claim_that_lapsed_meanwhile_does_not_begin(server: WorkServer, tmp_path: Path) -> None:
    """The platform has given the work to somebody else: the new runner's `running` is refused, and no agent starts."""
    records = RecordStore(tmp_path / "sessions" / "records")
    records.load()
    server.add("ses_1", worker_id="wkr_2", claim_id="c2")
    records.save(SessionRecord("ses_1", "claimed", STAMP, worker_id="wkr_1", claim_id="c1"))
    async with house(tmp_path, server, config(command=shell(f"touch {tmp_path}/ran"))) as home:
        await home.reported("ses_1")
    assert not (tmp_path / "ran").exists()
    assert (server.jobs["ses_1"].status, server.jobs["ses_1"].history) == ("claimed", [])


async def test_a_claim_is_confirmed_however_long_the_clone_takes(server: WorkServer, tmp_path: Path) -> None:
    """Where the word that the claim arrived gets lost, it is said again, so that the claim does not lapse."""
    lost = [True, True]

    def before(_method: str, _path: str, body: JsonObject) -> tuple[int, JsonObject] | None:
        return (503, {}) if body.get("status") == "claimed" and lost and lost.pop() else None

    server.before = before
    async with house(tmp_path, server, config(), runner=shell("read gate; exec sleep 600")) as home:
        server.add("ses_1").status = "pending"
        await home.manager.take(PollAnswer(items=(work(),)))
        await anyio.to_thread.run_sync(server.wait, lambda: server.jobs["ses_1"].history == ["claimed"])
        assert not lost
        await home.manager.drain(0)


async def test_a_runner_waits_until_its_id_is_on_disk(server: WorkServer, tmp_path: Path) -> None:
    """Where the record cannot be written, the runner leaves without having asked for anything, and the claim goes back."""
    async with house(tmp_path, server, config(command=shell(f"touch {tmp_path}/ran"))) as home:
        others = descendants(os.getpid())
        save = RecordStore.save

        def full_disk(self: RecordStore, record: SessionRecord) -> None:
            if record.state == "running":
                raise OSError(28, "No space left on device")
            save(self, record)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RecordStore, "save", full_disk)
            await home.take(work())
        await anyio.to_thread.run_sync(server.wait, lambda: bool(server.nacks))
        assert server.nacks[0][1]["reason"] == "the session could not be started: No space left on device"
        assert not (tmp_path / "ran").exists()
        assert ("GET", "/api/daemon/sessions/ses_1") not in server.requests
        assert home.manager.active_count == 0
        assert descendants(os.getpid()) <= others


async def test_a_drain_waits_and_then_ends(server: WorkServer, tmp_path: Path) -> None:
    """What ends in time is left to; the rest is stopped and reported before the drain returns."""
    async with house(tmp_path, server, config(command=waits(tmp_path))) as home:
        await home.take(work("a"), work("b"))
        await up(tmp_path, "a", "b")
        (tmp_path / "go-a").touch()
        assert await home.manager.drain(2) == 1
        assert (server.jobs["a"].status, server.jobs["b"].status) == ("completed", "stopped")
        assert await home.manager.drain(600) == 0


async def test_reports_survive_an_outage_and_a_restart(server: WorkServer, tmp_path: Path) -> None:
    """The platform hears of an end and of a refusal although it was down for both, and the daemon has restarted since."""

    def down(_method: str, path: str, body: JsonObject) -> tuple[int, JsonObject] | None:
        final = body.get("status") in {"finalizing", "completed", "failed"}
        return (503, {}) if path.endswith("/nack") or final else None

    async with house(tmp_path, server, config(command=waits(tmp_path))) as home:
        await home.take(work(), work("foreign", projectId="nope"))
        await up(tmp_path, "ses_1")
        server.before = down
        runner = home.manager.handles()[0].process
        assert runner is not None
        os.kill(runner.pid, signal.SIGKILL)
        await home.until(lambda: bool(home.seen) and home.seen[-1].state == "ended")
    server.before = lambda _m, _p, _b: None
    async with house(tmp_path, server, config()) as home:
        assert (await home.reported("ses_1")).outcome == "failed"
        await anyio.to_thread.run_sync(server.wait, lambda: bool(server.nacks))
    assert server.jobs["ses_1"].history == ["running", "failed"]
    assert server.nacks[0][0] == "foreign"


async def test_the_sweep_of_old_sessions_takes_their_files(server: WorkServer, tmp_path: Path) -> None:
    """A session that is forgotten leaves no log and no result behind."""
    home: House
    records = RecordStore(tmp_path / "sessions" / "records")
    records.load()
    for number in range(200):
        records.save(
            SessionRecord(f"old{number}", "reported", STAMP, outcome="completed", ended_at=f"2000-{number:03}")
        )
    async with house(tmp_path, server, config()) as home:
        log = home.files.log("old0")
        log.parent.mkdir(parents=True)
        log.touch()
        await home.take(work())
        await home.reported("ses_1")
        await anyio.to_thread.run_sync(eventually, lambda: not log.exists())
    assert len(records.load()) == 200
