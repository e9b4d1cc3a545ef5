"""`host project`, `host sessions`, `host drain`, `host set`: what they ask of the daemon, and what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.cli import Finished, ScriptedServer, Seen, answer, donmai

from donmai_daemon.model.json import Json, JsonObject


def settled(op: str, params: JsonObject, **more: Json) -> JsonObject:
    return {
        "id": "loc_1",
        "op": op,
        "params": params,
        "state": "settled",
        "outcome": "applied",
        "changed": True,
        **more,
    }


def host(home: Path, script: Callable[[Seen], bytes], *argv: str) -> tuple[Finished, list[Seen]]:
    """Run a host verb against a daemon on the unix socket that answers by `script`."""
    (home / "control.sock").unlink(missing_ok=True)
    with ScriptedServer(script, home / "control.sock") as server:
        done = donmai(home, "host", *argv, "--state-dir", str(home))
    return done, server.seen


@pytest.mark.parametrize(
    ("argv", "orders", "sentence"),
    [
        (
            ["allow", "alpha", "https://h/a", "https://h/b"],
            [
                ("project.add", {"id": "alpha", "repository": "https://h/a"}),
                ("project.add", {"id": "alpha", "repository": "https://h/b"}),
            ],
            "alpha: its work is taken\nalpha: its work is taken\n",
        ),
        (["allow", "alpha"], [("project.enable", {"id": "alpha"})], "alpha: its work is taken\n"),
        (["remove", "alpha"], [("project.remove", {"id": "alpha"})], "alpha: removed\n"),
        (["enable", "alpha"], [("project.enable", {"id": "alpha"})], "alpha: its work is taken\n"),
        (["disable", "alpha"], [("project.disable", {"id": "alpha"})], "alpha: its work is refused\n"),
    ],
)
def test_project_verbs_are_local_changes(
    tmp_path: Path, argv: list[str], orders: list[tuple[str, JsonObject]], sentence: str
) -> None:
    """Each goes through the daemon's inbox as the operation of the same meaning, and waits for its outcome."""

    def script(seen: Seen) -> bytes:
        if seen.method == "POST":
            body = json.loads(seen.body)
            return answer(202, {**settled(body["op"], body["params"]), "state": "pending"})
        assert seen.path == "/api/daemon/mutations/loc_1"
        return answer(200, settled("", {}))

    done, seen = host(tmp_path, script, "project", *argv)
    assert (done.code, done.out, done.err) == (0, sentence, "")
    posted = [json.loads(s.body) for s in seen if s.method == "POST"]
    assert [(body["op"], body["params"]) for body in posted] == orders


def test_a_change_that_fails_says_why(tmp_path: Path) -> None:
    """The daemon's own reason, exit 1."""
    failed = settled("project.add", {}, outcome="failed", error="repository: must be an https URL")
    done, _ = host(tmp_path, lambda _: answer(202, failed), "project", "allow", "alpha", "x")
    assert (done.code, done.err) == (1, "error: repository: must be an https URL\n")


def test_a_change_that_changes_nothing_says_so(tmp_path: Path) -> None:
    """Success without a change is told apart."""
    done, _ = host(tmp_path, lambda _: answer(202, settled("", {}, changed=False)), "project", "enable", "alpha")
    assert done.out == "alpha: its work is taken (it already was so)\n"


def test_a_dry_run_shows_the_diff(tmp_path: Path) -> None:
    """`--dry-run` asks the daemon what would happen, and changes nothing."""
    told = {"outcome": "applied", "diff": "+[projects.alpha]\n"}
    done, seen = host(tmp_path, lambda _: answer(200, told), "project", "enable", "alpha", "--dry-run")
    assert (done.code, done.out) == (0, "+[projects.alpha]\n")
    assert json.loads(seen[0].body)["dryRun"] is True
    done, _ = host(
        tmp_path, lambda _: answer(200, {"outcome": "failed", "diff": None, "error": "no"}), "project", "enable", "a", "--dry-run"
    )  # fmt: skip
    assert (done.code, done.err) == (1, "error: it would fail: no\n")


def test_projects_are_listed(tmp_path: Path) -> None:
    """A table for people, the daemon's own words as JSON; all-routed is said."""
    status = {
        "projectAdmissionMode": "all-routed",
        "projects": [{"projectId": "alpha", "enabled": False, "repositories": ["https://h/a"]}],
    }
    done, _ = host(tmp_path, lambda _: answer(200, status), "project", "list")
    assert done.out == "PROJECT  ENABLED  REPOSITORIES\nalpha    no       https://h/a\n"
    assert "all-routed" in done.err
    done, _ = host(tmp_path, lambda _: answer(200, status), "project", "list", "--json")
    assert json.loads(done.out) == status


def test_capacity_is_set(tmp_path: Path) -> None:
    """`set capacity.max_sessions N` is the local operation capacity.set; any other key or value is a usage error."""
    done, seen = host(tmp_path, lambda _: answer(202, settled("", {})), "set", "capacity.max_sessions", "4")
    assert (done.code, done.out) == (0, "capacity.max_sessions = 4\n")
    assert json.loads(seen[0].body) == {"op": "capacity.set", "params": {"key": "max_sessions", "value": 4}}
    for argv in (["platform.url", "x"], ["capacity.max_sessions", "-1"], ["capacity.max_sessions", "1001"]):
        done, seen = host(tmp_path, lambda _: answer(500, {}), "set", *argv)
        assert (done.code, seen) == (2, [])


HANDLE = {
    "sessionId": "ses_1",
    "projectId": "alpha",
    "state": "running",
    "pid": 7,
    "acceptedAt": "2026-11-24T06:00:00.000Z",
}


def test_sessions_are_listed(tmp_path: Path) -> None:
    """One line a session."""
    done, _ = host(tmp_path, lambda _: answer(200, {"sessions": [HANDLE]}), "sessions", "list")
    assert done.out.splitlines()[1].split()[:4] == ["ses_1", "alpha", "running", "7"]
    done, _ = host(tmp_path, lambda _: answer(200, {"sessions": []}), "sessions", "list")
    assert done.err == "no sessions\n"


def test_a_shown_session_shows_no_secret(tmp_path: Path) -> None:
    """Where the daemon tells its own user everything, the terminal still does not."""
    detail = {"sessionId": "ses_1", "authToken": "s3cret", "prompt": "s3cret", "title": "Fix it"}
    for argv in ([], ["--json"]):
        done, _ = host(tmp_path, lambda _: answer(200, detail), "sessions", "show", "ses_1", *argv)
        assert "Fix it" in done.out
        assert "s3cret" not in done.out
    done, _ = host(
        tmp_path, lambda _: answer(404, {"error": "session not found", "code": "session_not_found"}), "sessions", "show", "x"
    )  # fmt: skip
    assert (done.code, done.err.splitlines()[0]) == (1, "error: no such session: x")


def test_a_shown_session_says_how_it_stands(tmp_path: Path) -> None:
    """What it is about comes from its detail, how it stands from the list."""

    def daemon(request: Seen) -> bytes:
        whole = request.path.endswith("/ses_1")
        return answer(200, {"sessionId": "ses_1", "title": "Fix it"} if whole else {"sessions": [HANDLE]})

    done, _ = host(tmp_path, daemon, "sessions", "show", "ses_1")
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert (rows["State"], rows["Runner"], rows["Title"]) == ("running", "pid 7", "Fix it")


def test_a_stop_says_how_it_went(tmp_path: Path) -> None:
    """Ended: exit 0 and how; not ended: exit 1 and why."""
    done, seen = host(
        tmp_path, lambda _: answer(200, {"sessionId": "a/b", "stopped": True, "mode": "already_ended"}), "sessions", "stop", "a/b"
    )  # fmt: skip
    assert (done.code, done.out, seen[0].path) == (0, "a/b: already ended\n", "/api/daemon/sessions/a%2Fb/stop")
    done, _ = host(
        tmp_path, lambda _: answer(200, {"sessionId": "x", "stopped": False, "reason": "session not found"}), "sessions", "stop", "x"
    )  # fmt: skip
    assert (done.code, done.err) == (1, "error: x: session not found\n")


def test_a_drain_is_followed_to_its_end(tmp_path: Path) -> None:
    """The daemon's word, then how many still run, until none does."""
    left = [2, 2, 1, 0]

    def script(seen: Seen) -> bytes:
        if seen.method == "POST":
            return answer(200, {"ok": True, "message": "draining: 2 sessions"})
        return answer(200, {"status": "draining", "activeSessions": left.pop(0)})

    done, seen = host(tmp_path, script, "drain", "--timeout", "9")
    assert (done.code, left) == (0, [])
    assert done.out == "draining: 2 sessions\n2 still running\n1 still running\nno session runs\n"
    assert json.loads(seen[0].body) == {"timeoutSeconds": 9}


def test_a_drain_that_is_called_off_is_no_success(tmp_path: Path) -> None:
    """Somebody resumed meanwhile: exit 1."""

    def script(seen: Seen) -> bytes:
        return answer(
            200, {"message": "draining"} if seen.method == "POST" else {"status": "ready", "activeSessions": 1}
        )

    done, _ = host(tmp_path, script, "drain")
    assert (done.code, done.err) == (1, "error: no longer draining: the daemon is ready\n")
