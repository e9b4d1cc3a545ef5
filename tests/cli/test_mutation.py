"""`donmai mutation` against a scripted platform."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.cli import Finished, ScriptedServer, Seen, answer, donmai

from donmai_daemon.cli.dev_record import DevRecord, default_directory, record_path

KEY = "rsk_live_" + "0" * 64
HOSTS = [
    {"workerHostId": "whs_1", "hostname": "box", "status": "online"},
    {"workerHostId": "whs_2", "hostname": "den", "status": "stale"},
]
MUTATION = {
    "id": "mut_1", "workerHostId": "whs_1", "op": "project.add", "params": {"id": "demo"}, "status": "pending",
    "createdAt": "2026-11-24T06:01:27.123Z",
}  # fmt: skip


class Platform:
    """Answers as the admin API does. `hosts` are the machines of the organisation."""

    def __init__(self, hosts: list[dict[str, str]] = HOSTS[:1], refusal: tuple[int, object] | None = None) -> None:
        self._hosts = hosts
        self._refusal = refusal

    def __call__(self, request: Seen) -> bytes:
        if self._refusal is not None:
            return answer(*self._refusal)
        match request.method, request.path.partition("?")[0]:
            case "GET", "/api/daemon/hosts":
                return answer(200, {"hosts": self._hosts})
            case "POST", "/api/daemon/mutations":
                return answer(201, {"mutation": MUTATION | json.loads(request.body)})
            case "GET", "/api/daemon/mutations":
                return answer(
                    200, {"mutations": [MUTATION | {"status": "failed", "error": "no\x1bt known"}, MUTATION]}
                )
            case "DELETE", "/api/daemon/mutations/mut_1":
                return answer(200, {"cancelled": True})
            case "DELETE", "/api/daemon/mutations/mut_2":
                return answer(409, {"cancelled": False, "reason": "already_delivered"})
            case "DELETE", "/api/daemon/mutations/mut_3":
                return answer(409, {"cancelled": False, "reason": "already_cancelled"})
            case "POST", "/api/daemon/mutations/mut_1/undo":
                back = {"id": "mut_9", "op": "project.remove", "params": {"id": "demo"}}
                return answer(201, {"mutation": MUTATION | back})
            case "POST", "/api/daemon/mutations/mut_2/undo":
                return answer(409, {"error": "cannot be undone: it was not applied"})
        return answer(404, {"error": "mutation not found"})


def ask(home: Path, server: ScriptedServer, *argv: str, **extra: str) -> Finished:
    """One `donmai mutation` command with key and URL in the environment."""
    environ = {"DONMAI_API_KEY": KEY, "DONMAI_PLATFORM_URL": f"http://127.0.0.1:{server.port}", **extra}
    return donmai(home, "mutation", *argv, **environ)


def ordered(server: ScriptedServer) -> Mapping[str, object]:
    """The body of the one order that was placed."""
    (body,) = [json.loads(request.body) for request in server.seen if request.method == "POST"]
    assert isinstance(body, dict)
    return body


def test_enqueue_for_the_only_machine(tmp_path: Path) -> None:
    """With one machine in the organisation nothing but the operation has to be said."""
    with ScriptedServer(Platform()) as server:
        done = ask(
            tmp_path,
            server,
            "enqueue",
            "project.add",
            "--id",
            "demo",
            "--repository",
            "https://github.com/acme/demo.git",
        )
    assert done == (0, "mut_1  project.add queued for whs_1\n", "")
    assert ordered(server) == {
        "workerHostId": "whs_1",
        "op": "project.add",
        "params": {"id": "demo", "repository": "https://github.com/acme/demo.git"},
    }
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.seen)


def test_enqueue_takes_every_parameter(tmp_path: Path) -> None:
    """Every option of every operation reaches the platform under its name on the wire; options win over --params."""
    (tmp_path / "policy.json").write_text('{"matrix": {"*": {"byok": {"allowed": false}}}}')
    with ScriptedServer(Platform()) as server:
        done = ask(
            tmp_path, server, "enqueue", "any.op", "--host-id", "whs_9", "--json", "--not-before", "2026-12-01T08:00:00Z",
            "--params", '{"id": "overruled", "count": 2}', "--param", "a=b=c", "--param", "empty=", "--id", "x",
            "--workload", "qa", "--policy", "@policy.json", "--pool-id", "p", "--candidate-pool-id", "q",
            "--candidate-pool-id", "r", "--session-id", "s", "--reason", "because",
        )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["op"] == "any.op"
    assert ordered(server) == {
        "workerHostId": "whs_9",
        "op": "any.op",
        "notBefore": "2026-12-01T08:00:00Z",
        "params": {
            "id": "x", "count": 2, "a": "b=c", "empty": "", "workload": "qa", "poolId": "p", "sessionId": "s",
            "reason": "because", "policy": {"matrix": {"*": {"byok": {"allowed": False}}}}, "candidatePoolIds": ["q", "r"],
        },
    }  # fmt: skip
    assert len(server.seen) == 1, "with --host-id nobody needs the list of machines"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--params", "[]"], "--params: not a JSON object"),
        (["--params", "{"], "--params: not JSON: "),
        (["--policy", "@missing.json"], "--policy @missing.json: No such file or directory"),
        (["--param", "novalue"], "--param novalue: write it NAME=VALUE"),
        (["--not-before", "tomorrow"], "--not-before tomorrow: not a time"),
    ],
)
def test_wrong_parameters_are_usage_errors(tmp_path: Path, argv: list[str], error: str) -> None:
    """What cannot be meant is refused here, before anything is sent."""
    with ScriptedServer(Platform()) as server:
        code, out, err = ask(tmp_path, server, "enqueue", "any.op", *argv)
    assert (code, out, server.seen) == (2, "", [])
    assert err.startswith(f"error: {error}")


def test_several_machines_have_to_be_told_apart(tmp_path: Path) -> None:
    """Where several machines could be meant, they are listed and none is taken."""
    with ScriptedServer(Platform(HOSTS)) as server:
        code, out, err = ask(tmp_path, server, "enqueue", "project.remove", "--id", "demo")
    assert (code, out) == (2, "")
    assert err == (
        "error: which of 2 machines? whs_1 (box, online), whs_2 (den, stale)\nhint: name one with --host-id\n"
    )
    assert [request.method for request in server.seen] == ["GET"]


def test_no_machine_yet(tmp_path: Path) -> None:
    """An organisation without machines says so."""
    with ScriptedServer(Platform([])) as server:
        code, _, err = ask(tmp_path, server, "list")
    assert (code, err) == (
        1, "error: no machine has registered in this organisation yet\nhint: start one with: donmai host run\n",
    )  # fmt: skip


def test_list(tmp_path: Path) -> None:
    """The queue is a table; errors are shown where there are any, harmlessly."""
    with ScriptedServer(Platform()) as server:
        code, out, _ = ask(tmp_path, server, "list", "--limit", "5", TZ="UTC")
        _, raw, _ = ask(tmp_path, server, "list", "--host-id", "a&b", "--json")
    assert code == 0
    assert out == (
        "QUEUED               ID     OPERATION    STATUS   ABOUT\n"
        "2026-11-24 06:01:27  mut_1  project.add  failed   no\\x1bt known\n"
        "2026-11-24 06:01:27  mut_1  project.add  pending  id=demo\n"
    )
    assert [request.path for request in server.seen] == [
        "/api/daemon/hosts",
        "/api/daemon/mutations?workerHostId=whs_1&limit=5",
        "/api/daemon/mutations?workerHostId=a%26b&limit=20",
    ]
    assert len(json.loads(raw)["mutations"]) == 2


@pytest.mark.parametrize(
    ("mutation", "expected"),
    [
        ("mut_1", (0, "mut_1 cancelled\n", "")),
        (
            "mut_2",
            (
                1,
                "",
                "error: mut_2 cannot be cancelled: it was delivered already\nhint: queue the inverse operation: donmai mutation undo mut_2\n",
            ),
        ),
        ("mut_3", (1, "", "error: mut_3 cannot be cancelled: it was cancelled before\n")),
        ("a/b", (1, "", "error: platform answered 404: mutation not found\n")),
    ],
)
def test_cancel(tmp_path: Path, mutation: str, expected: tuple[int, str, str]) -> None:
    """A cancel wins before delivery; after it, exit 1 says why."""
    with ScriptedServer(Platform()) as server:
        assert ask(tmp_path, server, "cancel", mutation) == expected


@pytest.mark.parametrize(
    ("mutation", "expected"),
    [
        ("mut_1", (0, "mut_9  project.remove queued: id=demo\n", "")),
        ("mut_2", (1, "", "error: cannot be undone: it was not applied\n")),
        ("mut_3", (1, "", "error: platform answered 404: mutation not found\n")),
    ],
)
def test_undo(tmp_path: Path, mutation: str, expected: tuple[int, str, str]) -> None:
    """An undo queues the operation that takes a change back, or says why there is none."""
    with ScriptedServer(Platform()) as server:
        assert ask(tmp_path, server, "undo", mutation) == expected


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ((401, {"error": "unknown key"}), "error: platform answered 401: unknown key\nhint: the key is unknown or revoked; give a good one in DONMAI_API_KEY\n"),
        ((403, {"error": "role"}), "error: platform answered 403: role\nhint: the key's role does not allow this; it takes an admin or owner key\n"),
        ((400, {"error": "params.id: missing"}), "error: platform answered 400: params.id: missing\n"),
        ((502, b"<html>"), "error: platform answered 502\n"),
        ((200, b"<html>login</html>"), "error: the platform's answer is not JSON\nhint: check the URL: --platform-url\n"),
        ((200, []), "error: the platform's answer is not a JSON object\n"),
        ((200, {}), "error: the platform's answer has no list of hosts\n"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, refusal: tuple[int, object], expected: str) -> None:
    """Whatever the platform answers is one line, its own words in it, exit 1."""
    with ScriptedServer(Platform(refusal=refusal)) as server:
        assert ask(tmp_path, server, "list") == (1, "", expected)


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    """The key is not carried to wherever a redirect points."""
    with ScriptedServer(Platform()) as other:
        location = f"http://127.0.0.1:{other.port}/api/daemon/hosts"
        with ScriptedServer(lambda _: answer(302, {}, Location=location)) as server:
            code, _, err = ask(tmp_path, server, "list")
    assert (code, err) == (1, "error: platform answered 302\n")
    assert other.seen == []


def test_loopback_needs_no_proxy(tmp_path: Path) -> None:
    """A proxy from the environment is not asked for an address on this machine."""
    with ScriptedServer(Platform()) as server, ScriptedServer(lambda _: answer(500, {})) as proxy:
        code, _, _ = ask(tmp_path, server, "list", http_proxy=f"http://127.0.0.1:{proxy.port}")
    assert (code, proxy.seen) == (0, [])


def test_no_platform(tmp_path: Path) -> None:
    """A platform that does not answer is named, exit 1."""
    with ScriptedServer(Platform()) as server:
        port = server.port
    code, _, err = donmai(
        tmp_path, "mutation", "list", DONMAI_API_KEY=KEY, DONMAI_PLATFORM_URL=f"http://127.0.0.1:{port}"
    )
    assert (code, err.splitlines()[0]) == (
        1, f"error: no answer from the platform at http://127.0.0.1:{port}: Connection refused",
    )  # fmt: skip


@pytest.mark.parametrize("url", ["http://platform.test", "http://127.evil.test", "ftp://127.0.0.1", "nonsense"])
def test_the_key_is_not_sent_in_clear(tmp_path: Path, url: str) -> None:
    """Plain http beyond this machine, and what is no URL, is refused before a name is looked up."""
    code, out, err = donmai(tmp_path, "mutation", "list", "--platform-url", url, DONMAI_API_KEY=KEY)
    assert (code, out) == (2, "")
    assert KEY not in err


def test_key_and_url_come_together(tmp_path: Path) -> None:
    """Half of what it takes is a usage error that names the other half."""
    assert donmai(tmp_path, "mutation", "list", DONMAI_API_KEY=KEY).err == (
        "error: DONMAI_API_KEY is set, but not which platform it is for\nhint: set DONMAI_PLATFORM_URL\n"
    )
    assert donmai(tmp_path, "mutation", "list", DONMAI_PLATFORM__URL="https://p.test").err == (
        "error: no API key for https://p.test\nhint: set DONMAI_API_KEY to an admin or owner key\n"
    )
    code, _, err = donmai(tmp_path, "mutation", "list")
    assert code == 2
    assert err.startswith("error: which platform? ")


def dev_record(home: Path, port: int, pid: int) -> Path:
    """A development environment's record where it is looked for by default."""
    path = record_path(default_directory({"HOME": str(home)}))
    path.parent.mkdir(parents=True)
    DevRecord(f"http://127.0.0.1:{port}", KEY, pid, "/s", "/c", "http://127.0.0.1:1").write(path)
    return path


def test_a_running_dev_environment_is_used_and_said_so(tmp_path: Path) -> None:
    """With neither key nor URL, the development environment that runs here is meant; standard error says so."""
    with ScriptedServer(Platform()) as server:
        record = dev_record(tmp_path, server.port, os.getpid())
        by_default = donmai(tmp_path, "mutation", "cancel", "mut_1")
        by_name = donmai(
            tmp_path, "mutation", "cancel", "mut_1", "--dev-dir", str(record.parent), XDG_STATE_HOME="/none"
        )
        told = f"using the development platform at http://127.0.0.1:{server.port}\n"
    assert by_default == by_name == (0, "mut_1 cancelled\n", told)
    assert record.stat().st_mode & 0o777 == 0o600
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_environment_wins_over_dev(tmp_path: Path) -> None:
    """Where key and URL are set, a development environment that runs here is not in the way."""
    with ScriptedServer(Platform()) as server, ScriptedServer(Platform()) as dev:
        dev_record(tmp_path, dev.port, os.getpid())
        assert ask(tmp_path, server, "cancel", "mut_1") == (0, "mut_1 cancelled\n", "")
    assert dev.seen == []


@pytest.mark.parametrize("content", [None, "{}", "[1]", "not json", '{"pid": 1}'])
def test_a_dead_dev_environment_is_not_used(tmp_path: Path, content: str | None) -> None:
    """A record whose process has ended, or that cannot be read, counts as none."""
    with ScriptedServer(Platform()) as server:
        record = dev_record(tmp_path, server.port, 2**22 + 1)  # beyond the kernel's highest process id
        if content is not None:
            record.write_text(content)
        code, _, err = donmai(tmp_path, "mutation", "list")
        named, _, told = donmai(tmp_path, "mutation", "list", "--dev-dir", str(record.parent))
    assert (code, named, server.seen) == (2, 1, [])
    assert err.startswith("error: which platform? ")
    assert told.startswith("error: no development environment runs in ")
