"""The session routes: the same admission as for polled work, and a detail that is whole only for its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.agent import shell
from tests.support.control import DIGITS, Reply
from tests.support.sessions import House, config, house, work
from tests.support.waiting import eventually
from tests.support.work import WorkServer, work_server

from donmai_daemon.model.config import Cell, ModelAccess, Policy
from donmai_daemon.model.json import Json, JsonObject

pytestmark = pytest.mark.anyio
SESSIONS = "/api/daemon/sessions"
SECRETS: JsonObject = {
    "prompt": "s3cret-prompt",
    "promptContext": {"x": "s3cret-context"},
    "body": "s3cret-body",
    "systemPromptOverride": "s3cret-system",
    "env": {"KEY": "s3cret-env"},
    "mcpServers": [{"name": "files", "env": {"A": "s3cret-mcp"}, "headers": {"authorization": "s3cret-header"}}],
}


@pytest.fixture
def server() -> Iterator[WorkServer]:
    with work_server() as server:
        yield server


@asynccontextmanager
async def busy(
    directory: Path, server: WorkServer, *session_ids: str
) -> AsyncIterator[tuple[House, dict[str, str]]]:
    """A house whose runners do nothing but tell their read token; the tokens by session id."""
    script = (
        f'read gate; echo "$DONMAI_SESSION_READ_TOKEN" > {directory}/$DONMAI_SESSION_ID.new;'
        f" mv {directory}/$DONMAI_SESSION_ID.new {directory}/token-$DONMAI_SESSION_ID; exec sleep 600"
    )
    async with house(directory, server, config(max_sessions=2), runner=shell(script)) as home:
        tokens = {}
        for session_id in session_ids:
            await home.take(work(session_id, **SECRETS))
            file = directory / f"token-{session_id}"
            await anyio.to_thread.run_sync(eventually, file.exists)
            tokens[session_id] = file.read_text().strip()
        try:
            yield home, tokens
        finally:
            await home.manager.drain(0)


async def start(home: House, **fields: Json) -> Reply:
    return await home.api.ask(
        "POST", SESSIONS, {"sessionId": "ses_1", "projectId": "alpha", **fields}, token=DIGITS
    )


async def test_a_local_start_is_admitted_like_polled_work(server: WorkServer, tmp_path: Path) -> None:
    """202 with the handle, the list shows it, and a second one of the same name is a duplicate."""
    async with busy(tmp_path, server) as (home, _):
        server.add("ses_1", claim_id=None)
        reply = await start(home)
        assert reply.status == 202
        assert reply.object.keys() == {"sessionId", "acceptedAt", "state", "pid"}
        assert (reply.object["sessionId"], reply.object["state"]) == ("ses_1", "running")
        listed = (await home.api.ask("GET", SESSIONS)).object["sessions"]
        assert listed == [
            {**reply.object, "projectId": "alpha", "outcome": None, "interactive": False},
        ]
        again = await start(home)
        assert (again.status, again.object["code"]) == (409, "duplicate_session")


async def test_refusals_of_a_local_start(server: WorkServer, tmp_path: Path) -> None:
    """Each reason of admission has its status and its words."""
    async with busy(tmp_path, server, "a") as (home, _):
        unknown = await start(home, projectId="nope")
        assert (unknown.status, unknown.object) == (
            400, {"error": 'project "nope" is not allowed', "code": "project_not_allowed"},
        )  # fmt: skip
        assert (await start(home, repository="acme/alpha")).object["code"] == "repository_not_allowed"
        assert (await start(home, resolvedProfile=5)).object["code"] == "invalid_work"
        assert (await start(home, sessionId="../x")).status == 400
        home.config = replace(
            home.config, model_access=ModelAccess(default=Policy({"*": {"byok": Cell(allowed=False)}}))
        )
        denied = await start(home, resolvedProfile={"allowedAuthModes": ["byok"]})
        assert (denied.status, denied.object["code"]) == (403, "access_denied")
        await home.take(work("b"))
        full = await start(home)
        assert (full.status, full.object["code"]) == (503, "at_capacity")
        assert int(full.headers["retry-after"]) > 0
        home.refusing = "the host is paused"
        paused = await start(home)
        assert (paused.status, paused.object["error"]) == (503, "the host is paused")
        assert (await home.api.ask("POST", SESSIONS, {"sessionId": "x"})).status == 401


async def test_a_stop_always_says_how_it_stands(server: WorkServer, tmp_path: Path) -> None:
    """200 for a running session, one that has ended, and one that never was."""
    async with busy(tmp_path, server, "a") as (home, _):

        async def stop(session_id: str) -> JsonObject:
            reply = await home.api.ask("POST", f"{SESSIONS}/{session_id}/stop", token=DIGITS)
            assert reply.status == 200
            return reply.object

        assert await stop("a") == {"sessionId": "a", "stopped": True, "mode": "terminated"}
        assert await stop("a") == {"sessionId": "a", "stopped": True, "mode": "already_ended"}
        assert await stop("x") == {"sessionId": "x", "stopped": False, "reason": "session not found"}
        assert (await home.api.ask("POST", f"{SESSIONS}/a/stop")).status == 401


async def test_the_detail_is_whole_for_its_own(server: WorkServer, tmp_path: Path) -> None:
    """The control token and the session's own read token see everything, with a credential that is fresh at each reading."""
    async with busy(tmp_path, server, "a") as (home, tokens):
        for token in (DIGITS, tokens["a"]):
            seen = (await home.api.ask("GET", f"{SESSIONS}/a", token=token)).object
            assert {name: seen[name] for name in SECRETS} == SECRETS
            assert (seen["authToken"], seen["platformUrl"]) == (server.token, server.url)
        server.jobs["a"].detail["authToken"] = "newer"
        seen = (await home.api.ask("GET", f"{SESSIONS}/a", token=tokens["a"])).object
        assert seen["authToken"] == "newer"


async def test_nobody_else_sees_a_credential(server: WorkServer, tmp_path: Path) -> None:
    """Without a token, with another session's, with one of any wrong form: 200, and everything secret is cleared."""
    async with busy(tmp_path, server, "a", "b") as (home, tokens):
        good = tokens["a"]
        headers = [
            {},
            {"Authorization": f"Bearer {tokens['b']}"},
            {"Authorization": f"Bearer {good[:-1]}"},
            {"Authorization": f"Bearer {good}0"},
            {"Authorization": f"Bearer  {good}"},
            {"Authorization": f"bearer {good}"},
            {"Authorization": f"Bearer\t{good}"},
            {"Authorization": f"Basic {good}"},
            {"Authorization": good},
            {"Authorization": "Bearer "},
            {"Authorization": f"Bearer {'-' * 64}"},
            {"Authorization": f"Bearer {good}\r\nAuthorization: Bearer {good}"},
            {"Authorization": f"Bearer {tokens['b']}\r\nauthorization: Bearer {good}"},
            {"X-Token": good},
        ]
        for header in headers:
            reply = await home.api.ask("GET", f"{SESSIONS}/a", headers=header)
            assert reply.status == 200, header
            assert b"s3cret" not in reply.body, header
            assert server.token.encode() not in reply.body, header
            assert reply.object["sessionId"] == "a"
        listed = await home.api.ask("GET", SESSIONS)
        assert b"s3cret" not in listed.body
        query = await home.api.ask("GET", f"{SESSIONS}/a?token={good}")
        assert b"s3cret" not in query.body


async def test_a_detail_goes_with_its_session(server: WorkServer, tmp_path: Path) -> None:
    """After the end there is nothing to read, for nobody: 404 with the id."""
    async with busy(tmp_path, server, "a") as (home, tokens):
        await home.manager.stop("a", "because")
        for token in (DIGITS, tokens["a"], None):
            reply = await home.api.ask("GET", f"{SESSIONS}/a", token=token)
            assert (reply.status, reply.object) == (
                404, {"error": "session not found", "code": "session_not_found", "sessionId": "a"},
            )  # fmt: skip


async def test_a_read_token_survives_a_restart(server: WorkServer, tmp_path: Path) -> None:
    """Only its digest is on disk, and the next daemon knows the session by it."""
    script = shell(
        f'read gate; echo "$DONMAI_SESSION_READ_TOKEN" > {tmp_path}/token; touch {tmp_path}/token.done; exec sleep 600'
    )
    async with house(tmp_path, server, config(), runner=script) as home:
        await home.take(work("a", **SECRETS))
        await anyio.to_thread.run_sync(eventually, (tmp_path / "token.done").exists)
    token = (tmp_path / "token").read_text().strip()
    assert token not in (tmp_path / "sessions" / "records" / "a.json").read_text()
    async with house(tmp_path, server, config(), runner=script) as home:
        reply = await home.api.ask("GET", f"{SESSIONS}/a", token=token)
        assert reply.object["prompt"] == "s3cret-prompt"
        await home.manager.drain(0)


async def test_without_a_credential_the_runner_is_told_to_come_back(server: WorkServer, tmp_path: Path) -> None:
    """A platform that does not answer is 503 for a reader who should have a credential, and no hindrance to others."""
    async with busy(tmp_path, server, "a") as (home, tokens):
        server.before = lambda method, _p, _b: (500, {}) if method == "GET" else None
        reply = await home.api.ask("GET", f"{SESSIONS}/a", token=tokens["a"])
        assert (reply.status, reply.object["code"]) == (503, "platform_unreachable")
        assert "retry-after" in reply.headers
        assert (await home.api.ask("GET", f"{SESSIONS}/a")).status == 200


async def test_the_routes_are_described(server: WorkServer, tmp_path: Path) -> None:
    """The description of the control API names every session route and its schemas."""
    async with busy(tmp_path, server) as (home, _):
        described = json.loads((await home.api.ask("GET", "/openapi.json")).body)
        assert {SESSIONS, f"{SESSIONS}/{{id}}", f"{SESSIONS}/{{id}}/stop"} <= described["paths"].keys()


async def test_a_drain_ends_what_does_not_end_in_time(server: WorkServer, tmp_path: Path) -> None:
    """`timeoutSeconds` from now every session is ended; the answer says at once what will happen."""
    async with busy(tmp_path, server, "a") as (home, _):
        reply = await home.api.ask("POST", "/api/daemon/drain", {"timeoutSeconds": 0.1}, token=DIGITS)
        assert reply.object == {
            "ok": True,
            "message": "draining: 1 session may end within 0.1 s, what then still runs is ended",
        }
        assert home.lifecycle.state == "draining"
        await home.reported("a")
        assert (await home.api.ask("POST", "/api/daemon/drain", token=DIGITS)).status == 409


async def test_a_drain_that_is_called_off_ends_nothing(server: WorkServer, tmp_path: Path) -> None:
    """After a resume the time of the drain means nothing any more."""
    async with busy(tmp_path, server, "a") as (home, _):
        await home.api.ask("POST", "/api/daemon/drain", {"timeoutSeconds": 3600}, token=DIGITS)
        await anyio.wait_all_tasks_blocked()
        home.lifecycle.resume()
        await anyio.wait_all_tasks_blocked()
        assert home.manager.active_count == 1
        # Nobody waits for the first one any more: the next is carried out, and with its own time.
        await home.api.ask("POST", "/api/daemon/drain", {"timeoutSeconds": 0.1}, token=DIGITS)
        await home.reported("a")


@pytest.mark.parametrize("seconds", [-1, 86401, "5", True, [1]])
async def test_a_drain_time_must_be_one(server: WorkServer, tmp_path: Path, seconds: Json) -> None:
    """Anything but a number of seconds up to a day is refused, and nothing is drained."""
    async with busy(tmp_path, server) as (home, _):
        reply = await home.api.ask("POST", "/api/daemon/drain", {"timeoutSeconds": seconds}, token=DIGITS)
        assert (reply.status, home.lifecycle.state) == (400, "ready")
