"""The parts of `donmai dev`: its directory, its children's environment, what it tells while it runs."""

from __future__ import annotations

import io
import os
import socket
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
import pytest
from tests.support.control import StandInDaemon, mutation, surface

from donmai_daemon.cli.client import ControlClient
from donmai_daemon.cli.console import Console
from donmai_daemon.cli.dev import own_command
from donmai_daemon.cli.dev_directory import DevDirectory, Keys, child_environment
from donmai_daemon.cli.dev_environment import free_port
from donmai_daemon.cli.dev_record import default_directory
from donmai_daemon.cli.dev_stream import DevStream
from donmai_daemon.cli.endpoints import UnixEndpoint
from donmai_daemon.errors import AlreadyRunning, StateDirectoryUnusable
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import load


def test_one_environment_a_directory(tmp_path: Path) -> None:
    """A second one in the same directory is told who has it; a closed one gives it back."""
    first = DevDirectory(tmp_path / "dev")
    with pytest.raises(AlreadyRunning, match=rf"runs in {tmp_path}/dev already \(pid {os.getpid()}\)"):
        DevDirectory(tmp_path / "dev")
    first.close()
    DevDirectory(tmp_path / "dev").close()


def test_the_leftovers_of_a_killed_one_are_waited_for(tmp_path: Path) -> None:
    """Where the lock is still held, but not by the process that took it, its children are ending: that is waited for."""
    first = DevDirectory(tmp_path / "dev")
    (tmp_path / "dev" / "dev.lock").write_text(f"{2**22 + 1}\n")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        first.close()

    DevDirectory(tmp_path / "dev", wait).close()
    assert len(waited) == 1


def test_the_directory_is_private(tmp_path: Path) -> None:
    """The directory and the keys in it are for their owner only; one that others can read is refused."""
    directory = DevDirectory(tmp_path / "a" / "dev")
    assert directory.read_keys() is None
    directory.write_keys(Keys("admin", "worker"))
    assert directory.read_keys() == Keys("admin", "worker")
    assert directory.root.stat().st_mode & 0o777 == 0o700
    assert (directory.root / "keys.json").stat().st_mode & 0o777 == 0o600
    directory.close()
    directory.root.chmod(0o755)
    with pytest.raises(StateDirectoryUnusable):
        DevDirectory(directory.root)


def test_the_first_configuration_is_good_and_never_replaced(tmp_path: Path) -> None:
    """The file that a new environment starts with loads without a warning; one that is there is left alone."""
    directory = DevDirectory(tmp_path / "dev")
    directory.provide_config()
    first = directory.config.read_bytes()
    assert load(Document.parse(first), {}).warnings == ()
    assert list(tomllib.loads(first.decode())["projects"]) == ["hello"]
    directory.config.write_bytes(b"[broken")
    directory.provide_config()
    assert directory.config.read_bytes() == b"[broken"
    directory.close()


def test_the_default_directory(tmp_path: Path) -> None:
    """Below XDG_STATE_HOME where that is set to an absolute path, else below ~/.local/state."""
    assert default_directory({"HOME": "/h", "XDG_STATE_HOME": "/x"}) == Path("/x/donmai-dev")
    assert default_directory({"HOME": "/h", "XDG_STATE_HOME": "relative"}) == Path("/h/.local/state/donmai-dev")
    assert default_directory({"HOME": "/h"}) == Path("/h/.local/state/donmai-dev")


def test_children_know_nothing_of_other_daemons() -> None:
    """What points at another daemon, another platform, a service manager or a proxy does not reach the children."""
    kept = {"PATH": "/bin", "HOME": "/h", "LANG": "C"}
    foreign = {
        "DONMAI_CONFIG": "x", "DONMAI_DAEMON_TOKEN": "x", "STATE_DIRECTORY": "x", "NOTIFY_SOCKET": "x",
        "CREDENTIALS_DIRECTORY": "x", "WATCHDOG_USEC": "x", "LISTEN_FDS": "x", "HTTP_PROXY": "x", "all_proxy": "x",
    }  # fmt: skip
    assert child_environment(kept | foreign) == kept


def test_a_taken_port_is_replaced() -> None:
    """Where the wanted port is taken, another that is free is found."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted: int = taken.getsockname()[1]
        assert free_port(wanted) not in (0, wanted)
    assert free_port(0) != 0


def test_the_next_command_can_be_pasted(tmp_path: Path) -> None:
    """The command to try next names this program as it can be called from here."""
    program = tmp_path / "project" / ".venv" / "bin" / "donmai"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    elsewhere = {"PATH": "/nonexistent"}
    assert own_command(str(program), elsewhere, tmp_path / "project") == [".venv/bin/donmai"]
    assert own_command(".venv/bin/donmai", elsewhere, tmp_path / "project") == [".venv/bin/donmai"]
    assert own_command(str(program), elsewhere, tmp_path / "other") == [str(program)]
    assert own_command(str(program), {"PATH": str(program.parent)}, tmp_path) == ["donmai"]
    assert own_command("/x/donmai_daemon/__main__.py", elsewhere, tmp_path) == [
        sys.executable,
        "-m",
        "donmai_daemon",
    ]


@pytest.mark.anyio
async def test_the_stream_tells_what_is_new_once(tmp_path: Path) -> None:
    """A mutation is told when it comes in and when it ends, with its diff; what was there before is not news."""
    daemon = StandInDaemon(records=[mutation(1)])
    daemon.now = replace(daemon.now, conditions=())
    out = io.StringIO()
    async with surface(tmp_path, daemon):
        client = ControlClient([UnixEndpoint(tmp_path / "control.sock")])
        console = Console(out, out, {})
        stream = await anyio.to_thread.run_sync(lambda: DevStream(client, console))

        async def told() -> list[str]:
            out.seek(0)
            out.truncate()
            await anyio.to_thread.run_sync(stream.advance)
            return [line.split("  ", 1)[-1] for line in out.getvalue().splitlines() if line]

        assert await told() == []
        daemon.records.insert(0, mutation(2, "pending"))
        (order,) = await told()
        assert order.startswith("mut_2  project.add id=alpha repository=")
        assert await told() == []
        daemon.records[0] = mutation(2)
        applied, *diff = await told()
        assert applied == "mut_2  applied"
        assert diff[:2] == ["--- daemon.toml", "+++ daemon.toml"]
        daemon.records.insert(0, replace(mutation(3), outcome="failed", error="not\x1b so", diff=None))
        daemon.records.insert(0, replace(mutation(4), changed=False, diff=None))
        assert [line.partition(" project.add")[0] for line in await told()] == [
            "mut_3 ", "mut_3  failed: not\\x1b so", "mut_4 ", "mut_4  applied, nothing had to change",
        ]  # fmt: skip
        daemon.now = replace(daemon.now, conditions=StandInDaemon().now.conditions)
        assert await told() == ["clock_skew  the clock is 40 s ahead"]
        assert await told() == []
        daemon.now = replace(daemon.now, conditions=())
        assert await told() == ["clock_skew  over"]
