"""History and local changes, and the verbs of the lifecycle."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.control import DIGITS, StandInDaemon, mutation, surface

pytestmark = pytest.mark.anyio

PATH = "/api/daemon/mutations"


async def test_history_is_listed_and_one_is_shown(tmp_path: Path) -> None:
    """The list holds the same flat objects that each id answers by itself, newest first."""
    async with surface(tmp_path) as served:
        listed = (await served.ask("GET", PATH, token=DIGITS)).json
        one = (await served.ask("GET", f"{PATH}/mut_1", token=DIGITS)).json
        assert listed == {"mutations": [mutation(2, "pending").to_json(), mutation(1).to_json()]}
        assert one == mutation(1).to_json()
        missing = await served.ask("GET", f"{PATH}/mut_3")
        assert (missing.status, missing.json) == (404, {"error": 'no mutation "mut_3"', "code": "not_found"})


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (None, 100)),
        ("?", (None, 100)),
        ("?limit=1", (None, 1)),
        ("?limit=500", (None, 500)),
        ("?state=pending&limit=7", ("pending", 7)),
        ("?state=settled", ("settled", 100)),
        ("?state=&limit=", (None, 100)),
        ("?state=%70ending", ("pending", 100)),
        ("?other=1", (None, 100)),
    ],
)
async def test_history_is_filtered(tmp_path: Path, query: str, asked: tuple[str | None, int]) -> None:
    """State and limit reach the journal; an empty one is as good as none."""
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", PATH + query)).status == 200
        assert served.daemon.asked == [asked]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=0", "query parameter limit: must be a number from 1 to 500"),
        ("limit=501", "query parameter limit: must be a number from 1 to 500"),
        ("limit=-1", "query parameter limit: must be a number from 1 to 500"),
        ("limit=ten", "query parameter limit: must be a number from 1 to 500"),
        ("limit=1.0", "query parameter limit: must be a number from 1 to 500"),
        ("limit=%D9%A1", "query parameter limit: must be a number from 1 to 500"),
        ("limit=" + "9" * 5000, "query parameter limit: must be a number from 1 to 500"),
        ("limit=1&limit=2", "query parameter limit: given twice"),
        ("state=open", "query parameter state: must be one of pending, review, settled"),
        ("state=%ff", "query string: cannot be read"),
        ("&".join(f"x{number}=1" for number in range(65)), "query string: cannot be read"),
    ],
)
async def test_a_bad_query_is_told_what_is_bad(tmp_path: Path, query: str, problem: str) -> None:
    """400 names the parameter; the journal is not asked."""
    async with surface(tmp_path) as served:
        reply = await served.ask("GET", f"{PATH}?{query}")
        assert (reply.status, reply.json) == (400, {"error": problem, "code": "bad_request"})
        assert served.daemon.asked == []


async def test_a_change_is_taken_into_the_inbox(tmp_path: Path) -> None:
    """202 with the flat mutation, which is pending and local."""
    async with surface(tmp_path) as served:
        reply = await served.ask("POST", PATH, {"op": "project.add", "params": {"id": "a"}}, token=DIGITS)
        assert (reply.status, reply.object["id"], reply.object["state"]) == (202, "loc_9", "pending")
        assert (reply.object["origin"], reply.object["params"]) == ("local", {"id": "a"})
        assert served.daemon.submitted == [("project.add", {"id": "a"}, "control token")]


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """200 with outcome and diff, and the error where it would fail; the inbox is not touched."""
    async with surface(tmp_path) as served:
        good = {"op": "project.add", "params": {"id": "a"}, "dryRun": True}
        reply = await served.ask("POST", PATH, good, token=DIGITS)
        assert reply.status == 200
        assert set(reply.object) == {"outcome", "diff"}
        assert reply.object["outcome"] == "applied"
        failing = {"op": "project.add", "params": {"id": "gone"}, "dryRun": True}
        assert (await served.ask("POST", PATH, failing, token=DIGITS)).json == {
            "outcome": "failed", "diff": None, "error": "project not known",
        }  # fmt: skip
        assert served.daemon.submitted == []


@pytest.mark.parametrize("dry_run", [False, True])
async def test_an_operation_that_cannot_be_meant_is_refused(tmp_path: Path, dry_run: bool) -> None:
    """Unknown operations and bad parameters are 400 with the operation's own words and code."""
    async with surface(tmp_path) as served:
        for op, error, code in (
            ("session.wake", 'unsupported mutation op "session.wake" (upgrade daemon?)', "unsupported_op"),
            ("project.add", "params.id: is missing", "invalid_params"),
        ):
            reply = await served.ask("POST", PATH, {"op": op, "params": {}, "dryRun": dry_run}, token=DIGITS)
            assert (reply.status, reply.json) == (400, {"error": error, "code": code})


@pytest.mark.parametrize("verdict", ["approve", "reject"])
async def test_only_what_waits_can_be_decided(tmp_path: Path, verdict: str) -> None:
    """409 for a mutation that waits for nobody, 404 for one that is not there."""
    async with surface(tmp_path) as served:
        for identifier, state in (("mut_1", "settled"), ("mut_2", "pending")):
            reply = await served.ask("POST", f"{PATH}/{identifier}/{verdict}", token=DIGITS)
            assert (reply.status, reply.object["code"]) == (409, "wrong_state")
            assert str(reply.object["error"]).endswith(f"it is {state}")
        assert (await served.ask("POST", f"{PATH}/mut_3/{verdict}", token=DIGITS)).status == 404


async def test_capacity_is_a_local_change_like_any_other(tmp_path: Path) -> None:
    """The key, with its section or without, and its value go through the inbox as `capacity.set`."""
    async with surface(tmp_path) as served:
        for key in ("max_sessions", "capacity.max_sessions"):
            reply = await served.ask("POST", "/api/daemon/capacity", {"key": key, "value": 4}, token=DIGITS)
            assert (reply.status, reply.json) == (200, {"ok": True, "message": f"{key} = 4 is queued as loc_9"})
        taken = ("capacity.set", {"key": "max_sessions", "value": 4}, "control token")
        assert served.daemon.submitted == [taken, taken]
        for bad, problem in (({"value": 4}, "key: must be a string"), ({"key": "a"}, "value: is missing")):
            assert (await served.ask("POST", "/api/daemon/capacity", bad, token=DIGITS)).object["error"] == problem


@pytest.mark.parametrize("verb", ["reload", "pause", "resume", "stop", "restart"])
async def test_a_verb_is_done_or_forbidden(tmp_path: Path, verb: str) -> None:
    """200 with a sentence, or 409 with the reason why not now."""
    async with surface(tmp_path, StandInDaemon()) as served:
        reply = await served.ask("POST", f"/api/daemon/{verb}", {}, token=DIGITS)
        assert (reply.status, reply.json) == (200, {"ok": True, "message": f"did {verb}"})
        served.daemon.forbidden = "cannot: the daemon is stopping"
        reply = await served.ask("POST", f"/api/daemon/{verb}", {}, token=DIGITS)
        assert (reply.status, reply.json) == (
            409,
            {"error": "cannot: the daemon is stopping", "code": "wrong_state"},
        )
        assert served.daemon.acts == [verb]
