"""The operator's side: verbs of `donmai platform`, keys over the wire, presence of hosts (2.7)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.platform.conftest import Org, StoreKind, platform_on
from tests.support.platform import PlatformProcess, TestWorker

from donmai_daemon.model.json import JsonObject


def test_a_key_is_shown_once_and_only_its_digest_is_kept(platform: PlatformProcess, tmp_path: Path) -> None:
    """`key create` answers key, prefix, organisation and role; afterwards only the prefix is to be seen anywhere."""
    made = platform.operated("key", "create", "--org", "acme", "--role", "admin", "--name", "laptop")
    key = str(made["key"])
    assert len(key) == len("rsk_live_") + 64
    assert (made["orgId"], made["role"], made["name"]) == ("acme", "admin", "laptop")
    assert key.startswith(str(made["keyPrefix"]))
    listed = platform.operate("key", "list", "--org", "acme").stdout
    assert str(made["id"]) in listed
    assert key not in listed
    if platform.store[0] == "--data-dir":
        content = b"".join(file.read_bytes() for file in Path(platform.store[1]).iterdir() if file.is_file())
        assert hashlib.sha256(key.encode()).hexdigest().encode() in content
        assert key.encode() not in content


def test_keys_made_over_the_wire(platform: PlatformProcess, org: Org, other_org: Org) -> None:
    """Admin and owner make keys of their own organisation; the answer has the full key, and the key works."""
    path = f"/api/org/{org.name}/keys"
    for maker in (org.admin, org.owner):
        answer = platform.call("POST", path, maker, {"role": "member", "name": "dashboard"})
        assert answer.status == 201, answer.text
        made = answer.object_of("key")
        assert (made["role"], made["name"], made["orgId"], made["revokedAt"]) == (
            "member", "dashboard", org.name, None,
        )  # fmt: skip
        assert platform.call("GET", "/api/daemon/hosts", str(made["fullKey"])).status == 200
    assert platform.call("POST", path, org.member, {"role": "member"}).status == 403
    assert platform.call("POST", path, org.worker, {"role": "member"}).status == 403
    assert platform.call("POST", path, None, {"role": "member"}).status == 401
    assert platform.call("POST", path, other_org.owner, {"role": "member"}).status == 404
    bad: list[JsonObject] = [
        {},
        {"role": "king"},
        {"role": "member", "name": 7},
        {"role": "member", "name": "a\nb"},
    ]
    for body in bad:
        answer = platform.call("POST", path, org.admin, body)
        assert answer.status == 400
        assert answer.text_of("error").split(":")[0] in ("role", "name")


def test_revoking(platform: PlatformProcess) -> None:
    """A revoked key is listed as such, revoking again changes nothing, and an unknown one is an error of one line."""
    made = platform.operated("key", "create", "--org", "acme", "--role", "member")
    first = platform.operated("key", "revoke", str(made["id"]))
    assert first["revokedAt"] is not None
    assert platform.operated("key", "revoke", str(made["id"]))["revokedAt"] == first["revokedAt"]
    unknown = platform.operate("key", "revoke", "key_none")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "error: no key key_none\n"


@pytest.mark.parametrize(
    "words",
    [
        ("key", "create", "--org", "a/b", "--role", "admin"),
        ("key", "create", "--org", "acme", "--role", "king"),
        ("key", "create", "--org", "acme"),
        ("work", "enqueue", "--org", "acme"),
        ("work", "enqueue", "--org", "acme", "--item", '{"projectId": 5}'),
        ("work", "enqueue", "--org", "acme", "--item", "not json"),
        ("work", "enqueue", "--org", "acme", "--item", "@/nowhere"),
        ("serve", "--legacy-org", "acme"),
        ("serve", "--port", "70000"),
        ("frobnicate",),
    ],
)
def test_usage_errors_exit_2(platform: PlatformProcess, words: tuple[str, ...]) -> None:
    """What cannot be meant is exit code 2 with one error line, and nothing on standard output."""
    done = platform.operate(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")


def test_work_from_the_command_line(platform: PlatformProcess, org: Org, tmp_path: Path) -> None:
    """An item from a file with options on top is queued, listed and stopped."""
    (tmp_path / "item.json").write_text('{"projectId": "p", "prompt": "from the file", "env": {"A": "b"}}')
    item = f"@{tmp_path / 'item.json'}"
    queued = platform.operated(
        "work", "enqueue", "--org", org.name, "--item", item, "--title", "T", "--priority", "1"
    )
    listed = platform.operated("work", "list", "--org", org.name, "--limit", "1")
    assert listed == {"sessions": [queued]}
    assert queued["priority"] == 1
    stopped = platform.operated("work", "stop", str(queued["sessionId"]))
    assert stopped["status"] == "stopped"
    assert platform.operate("work", "stop", "ses_none").returncode == 1
    (tmp_path / "large.json").write_text(json.dumps({"projectId": "p", "prompt": "x" * 256 * 1024}))
    refused = platform.operate("work", "enqueue", "--org", org.name, "--item", f"@{tmp_path / 'large.json'}")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "larger than 262144 bytes" in refused.stderr


def test_people_read_tables(platform: PlatformProcess, org: Org, worker: TestWorker) -> None:
    """Without `--json` the verbs print for people, and the first line of a new key is the key alone."""

    def plain(*words: str) -> str:
        command = [sys.executable, "-m", "donmai_daemon", "platform", *words, *platform.store]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    assert plain("key", "create", "--org", org.name, "--role", "member").startswith("rsk_live_")
    assert "ROLE" in plain("key", "list").splitlines()[0]
    assert worker.host_id in plain("host", "list")
    assert plain("host", "status", worker.host_id, "pool_paused").startswith(
        f"{worker.host_id} is told pool_paused"
    )
    session = plain("work", "enqueue", "--org", org.name, "--project", "p").strip()
    assert session in plain("work", "list")
    assert plain("work", "token", session).count(".") == 2
    assert plain("work", "stop", session).strip() == f"{session} is stopped"
    assert "signed by sig_" in plain("key", "rotate-signing")
    assert plain("host", "remove", worker.host_id).startswith(f"removed {worker.host_id}")


@pytest.fixture
def quick(store: StoreKind, tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform whose daemons should beat five times a second."""
    with platform_on(
        store, tmp_path, "--heartbeat-interval", "0.2", "--poll-interval", "0.1", "--rate-limit", "100000"
    ) as running:
        yield running


def test_presence_follows_from_missed_beats(quick: PlatformProcess) -> None:
    """Online after a beat, stale after 3 missed ones, offline after 10; the intervals told are the ones configured."""
    admin = quick.make_key("admin")
    worker = quick.register(quick.make_key("worker"))
    assert (worker.registered["heartbeatInterval"], worker.registered["pollInterval"]) == (200, 100)
    seen: list[str] = []
    begun = time.monotonic()
    quick.beat(worker)
    while not seen or seen[-1] != "offline":
        status = str(quick.hosts(admin)[0]["status"])
        if not seen or seen[-1] != status:
            seen.append(status)
    assert seen == ["online", "stale", "offline"]
    assert (
        time.monotonic() - begun >= 1.9
    )  # 10 beats of 0.2 s; the platform's clock is not the one that measures here
    quick.beat(worker)
    assert quick.hosts(admin)[0]["status"] == "online"


def test_hosts_can_be_paged(platform: PlatformProcess, org: Org) -> None:
    """With `limit` and `after` the hosts come in pages, by id, none twice and none left out."""
    for number in range(5):
        platform.register(org.worker, f"paged-{number}")
    everything = [host["workerHostId"] for host in platform.hosts(org.member)]
    paged: list[object] = []
    while True:
        after = str(paged[-1]) if paged else ""
        page = platform.call("GET", f"/api/daemon/hosts?limit=2&after={after}", org.member).list_of("hosts")
        if not page:
            break
        paged += [host["workerHostId"] for host in page]
    assert paged == everything == sorted(map(str, everything))
    assert platform.call("GET", "/api/daemon/hosts?limit=none", org.member).status == 400
