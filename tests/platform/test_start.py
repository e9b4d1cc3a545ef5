"""What an operator reads when `donmai platform` cannot start, or is asked about a platform that is not there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.platform import PlatformProcess
from tests.support.servers import Servers


def refused(*words: str, environ: dict[str, str] | None = None) -> str:
    """Run `donmai platform WORDS…`, which must end with exit code 1 and nothing on standard output; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "donmai_daemon", "platform", *words],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(environ or {})},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_or_a_directory_that_is_taken(tmp_path: Path) -> None:
    """Each is named, with what to do about it; the platform that has it goes on."""
    with PlatformProcess.embedded(tmp_path) as platform:
        port = platform.url.rsplit(":", 1)[1]
        said = refused("serve", "--data-dir", str(tmp_path / "other"), "--port", port)
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use\nhint: give another --port" in said
        said = refused("serve", *platform.store, "--port", "0")
        assert f"another donmai platform serves from {tmp_path / 'platform'}\nhint: " in said
        assert platform.call("GET", "/readyz").status == 200


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    """An address that is not this machine's is not blamed on the port."""
    said = refused("serve", "--data-dir", str(tmp_path), "--host", "192.0.2.1", "--port", "0")
    assert "cannot listen on 192.0.2.1:0" in said
    assert "hint: --host" in said


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A place that is no directory is named, with what it has to be."""
    (tmp_path / "file").write_text("")
    said = refused("serve", "--data-dir", str(tmp_path / "file"), "--port", "0")
    assert f"{tmp_path / 'file' / 'platform.db'} cannot be opened: File exists\nhint: --data-dir names" in said


def test_a_file_of_a_newer_program(tmp_path: Path) -> None:
    """It is left alone, and both versions are told."""
    platform = PlatformProcess.embedded(tmp_path)
    platform.make_key("admin")
    connection = sqlite3.connect(tmp_path / "platform" / "platform.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    said = refused("serve", *platform.store, "--port", "0")
    assert "schema version 99" in said
    assert "hint: install the newer donmai-daemon again" in said


@pytest.mark.parametrize(
    "words", [("key", "list"), ("host", "list"), ("work", "enqueue", "--org", "a", "--project", "p")]
)
def test_a_verb_without_its_platform(words: tuple[str, ...], tmp_path: Path) -> None:
    """A verb that was not told the directory makes no empty platform beside the one that is meant."""
    said = refused(*words, environ={"XDG_STATE_HOME": str(tmp_path)})
    assert f"no platform keeps its data in {tmp_path / 'donmai-platform'}\nhint: " in said
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("which", "address"),
    [
        ("PostgreSQL", "mysql://me:hunter2@host/db"),
        ("PostgreSQL", "me:hunter2@host"),
        ("Redis", "rediss//:hunter2@host"),
        ("Redis", "redis://:hunter2/x@host"),
    ],
)
def test_an_address_that_is_none(which: str, address: str, servers: Servers) -> None:
    """It is refused by the name of the server, with the form it must have, and is not shown: it may hold a password."""
    _, database, _, redis_url = servers.new_store()
    addresses = (address, redis_url) if which == "PostgreSQL" else (database, address)
    said = refused("serve", "--port", "0", "--database-url", addresses[0], "--redis-url", addresses[1])
    assert (
        f"{which} cannot be used: that is not its address\nhint: --{'database' if which == 'PostgreSQL' else 'redis'}-url"
        in said
    )
    assert "hunter2" not in said
