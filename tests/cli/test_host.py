"""The host verbs against a control API on real sockets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
import pytest
from tests.support.cli import Finished, donmai
from tests.support.control import DIGITS, StandInDaemon, snapshot, surface

from donmai_daemon.model.condition import Condition
from donmai_daemon.model.wire import HostStatus

pytestmark = pytest.mark.anyio


async def host(home: Path, *argv: str, **extra: str) -> Finished:
    """`donmai host …` with `home` as its state directory."""
    return await anyio.to_thread.run_sync(lambda: donmai(home, "host", *argv, "--state-dir", str(home), **extra))


async def test_status_tells_a_person(tmp_path: Path) -> None:
    """Status shows state, platform, file, projects, mutations and conditions."""
    async with surface(tmp_path):
        code, out, err = await host(tmp_path, "status", TZ="UTC")
    assert (code, err) == (0, "")
    assert out == (
        "donmai daemon  ready  up 12 s · pid 4711 · version 0.1.0\n"
        "\n"
        "  Platform     registered as wkr_1 · last beat accepted just now, one every 30 s\n"
        "  Host status  ok\n"
        "  Config       /etc/donmai/daemon.toml · valid\n"
        "  Projects     1 enabled of 2: alpha\n"
        "  Sessions     1 of 8 running\n"
        "  Mutations    1 pending · 2 results not yet told to the platform\n"
        "  Machine      machine-1\n"
        "\n"
        "  Conditions\n"
        "  warning  clock_skew  the clock is 40 s ahead (since 06:01:27, just now)\n"
    )


async def test_status_does_not_flatter(tmp_path: Path) -> None:
    """Unregistered, failing, draining from a pool, with a broken file: status says each of it."""
    daemon = StandInDaemon()
    beat = replace(
        daemon.now.beat,
        last_accepted_at=None,
        consecutive_failures=3,
        last_error="platform answered 401",
        ready=False,
    )
    daemon.now = replace(
        snapshot(),
        worker_id=None,
        lifecycle="paused",
        beat=beat,
        host_status=HostStatus("pool_deleted", None, ("p1", "p2")),
        config_valid=False,
        applied_project_ids=(),
        pending_mutations=0,
        unsent_acks=1,
        conditions=(
            Condition("config_invalid", "error", "line 1, column 1: \x1b[2Jno", "2026-11-24T06:00:27.123Z"),
        ),
    )
    async with surface(tmp_path, daemon):
        code, out, _ = await host(tmp_path, "status", TZ="UTC")
    assert code == 0
    assert "donmai daemon  paused  " in out
    assert "not registered · no beat accepted yet\n               3 failed since: platform answered 401\n" in out
    assert "pool_deleted: claims no new work · other pools: p1, p2\n" in out
    assert "/etc/donmai/daemon.toml · not valid, the last good one is in use\n" in out
    assert "1 enabled of 2: alpha · not yet in use: alpha\n" in out
    assert "1 result not yet told to the platform\n" in out
    assert "  error    config_invalid  line 1, column 1: \\x1b[2Jno (since 06:00:27, 1 min ago)\n" in out


async def test_status_as_json_is_the_api_s_answer(tmp_path: Path) -> None:
    """`--json` passes on every field, so scripts need not follow our wording."""
    async with surface(tmp_path) as served:
        code, out, _ = await host(tmp_path, "status", "--json")
        told = (await served.ask("GET", "/api/daemon/status", token=DIGITS)).object
    assert (code, json.loads(out)) == (0, told)


async def test_stats(tmp_path: Path) -> None:
    """Stats are numbers for a person, and the API's answer for a script."""
    async with surface(tmp_path):
        code, out, _ = await host(tmp_path, "stats")
        _, raw, _ = await host(tmp_path, "stats", "--json")
    assert code == 0
    assert out.splitlines()[0].split() == ["Sessions", "1", "of", "8"]
    assert "Last beat     just now\n" in out
    assert json.loads(raw)["registration"]["status"] == "registered"


@pytest.mark.parametrize("verb", ["reload", "pause", "resume", "stop --no-wait", "restart"])
async def test_steering(tmp_path: Path, verb: str) -> None:
    """Each steering verb asks for what it is called, and prints what the daemon says."""
    async with surface(tmp_path) as served:
        assert await host(tmp_path, *verb.split()) == (0, f"did {verb.split()[0]}\n", "")
    assert served.daemon.acts == [verb.split()[0]]


async def test_steering_over_tcp_takes_the_token(tmp_path: Path) -> None:
    """Over TCP the control token of the state directory opens the door; without it the refusal says where it looked."""
    async with surface(tmp_path) as served:
        refused = await host(tmp_path, "pause", "--port", str(served.port))
        (tmp_path / "control-token").write_text(DIGITS)
        accepted = await host(tmp_path, "pause", "--port", str(served.port))
    assert refused == (
        1,
        "",
        f"error: the daemon at 127.0.0.1:{served.port} does not accept the token in {tmp_path}/control-token: "
        "missing or invalid control token\n"
        "hint: name that daemon's own state directory with --state-dir, or try again with sudo\n",
    )
    assert accepted == (0, "did pause\n", "")


async def test_the_wrong_state_is_the_daemon_s_own_sentence(tmp_path: Path) -> None:
    """A 409 is exit 1 and one line."""
    async with surface(tmp_path, StandInDaemon(forbidden="the daemon is draining")):
        assert await host(tmp_path, "pause") == (1, "", "error: the daemon is draining\n")


async def test_a_daemon_that_is_still_starting(tmp_path: Path) -> None:
    """A 503 is not "not running"."""
    async with surface(tmp_path, started=False):
        assert await host(tmp_path, "status") == (
            1, "", "error: daemon is still starting\nhint: try again in a second\n",
        )  # fmt: skip


@pytest.mark.parametrize(
    "argv", [("status",), ("stats",), ("pause",), ("mutations", "list"), ("mutations", "show", "x")], ids=" ".join
)
async def test_no_daemon(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Without a daemon every client verb is exit 1, the fact, and the command that starts one."""
    assert await host(tmp_path, *argv) == (
        1, "", "error: daemon is not running\nhint: start it with: donmai host run\n",
    )  # fmt: skip


async def test_mutations_list(tmp_path: Path) -> None:
    """The history is a table, newest first."""
    async with surface(tmp_path) as served:
        code, out, _ = await host(tmp_path, "mutations", "list", "--limit", "7", "--state", "settled", TZ="UTC")
        _, everything, _ = await host(tmp_path, "mutations", "list", TZ="UTC")
        _, raw, _ = await host(tmp_path, "mutations", "list", "--json")
    assert served.daemon.asked[0] == ("settled", 7)
    assert code == 0
    url = "https://someone:hunter2@github.com/acme/beta.git"
    assert out == (
        "RECEIVED             ID     OPERATION    STATE    ABOUT\n"
        f"2026-11-24 06:01:27  mut_1  project.add  applied  id=alpha repository={url}\n"
    )
    assert [line.split()[2:5] for line in everything.splitlines()[1:]] == [
        ["mut_2", "project.add", "pending"],
        ["mut_1", "project.add", "applied"],
    ]
    assert [record["id"] for record in json.loads(raw)["mutations"]] == ["mut_2", "mut_1"]


async def test_no_mutations(tmp_path: Path) -> None:
    """An empty history is said to be empty, on standard error."""
    async with surface(tmp_path, StandInDaemon(records=[])):
        assert await host(tmp_path, "mutations", "list") == (0, "", "no mutations yet\n")


async def test_mutations_show(tmp_path: Path) -> None:
    """One change comes with its times and its diff."""
    async with surface(tmp_path):
        code, out, _ = await host(tmp_path, "mutations", "show", "mut_1", TZ="UTC")
        _, raw, _ = await host(tmp_path, "mutations", "show", "mut_1", "--json")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["Mutation", "mut_1"]
    assert [line.split()[0] for line in lines if line][:9] == [
        "Mutation", "Operation", "Params", "State", "Asked", "Received", "Settled", "Acked", "---",
    ]  # fmt: skip
    assert lines[-1].startswith("+repositories = ")
    assert json.loads(raw)["outcome"] == "applied"


async def test_an_unknown_mutation(tmp_path: Path) -> None:
    """An id that the journal does not know is exit 1; an id with a slash is escaped, not another path."""
    async with surface(tmp_path):
        assert await host(tmp_path, "mutations", "show", "a/../b?c") == (
            1, "", "error: no such mutation: a/../b?c\nhint: see: donmai host mutations list\n",
        )  # fmt: skip
