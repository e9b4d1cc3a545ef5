"""`host run` as a process: how it starts, and how it ends."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.cli import COMMAND, donmai, environment


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for a unix socket's."""
    with tempfile.TemporaryDirectory(prefix="run", dir="/tmp") as path:
        yield Path(path)


@contextmanager
def daemon(home: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A daemon that has started, without a platform."""
    with subprocess.Popen(
        [*COMMAND, "host", "run", "--port", "0", *argv],
        env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "daemon.started" in line:
                    break
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


@pytest.mark.parametrize(("verb", "code"), [("stop", 0), ("restart", 3)])
def test_exit_codes_of_the_daemon(short: Path, verb: str, code: int) -> None:
    """After `stop` the daemon ends with 0, after `restart` with 3: start me again."""
    with daemon(short, "--skip-wizard") as process:
        assert donmai(short, "host", "status").code == 0
        assert donmai(short, "host", verb).code == 0
        process.communicate(timeout=60)
        assert process.returncode == code
    assert donmai(short, "host", "status").code == 1


def test_a_second_daemon_on_one_state_directory(short: Path) -> None:
    """The second is refused with one line that names the first, exit 1."""
    with daemon(short) as process:
        code, out, err = donmai(short, "host", "run", "--port", "0")
        assert (code, out) == (1, "")
        assert err.startswith(
            f"error: another daemon (pid {process.pid}) uses the state directory {short}/.donmai\nhint: "
        )
        assert len(err.splitlines()) == 2


def test_a_taken_port(short: Path) -> None:
    """A port that somebody has is one line with a hint, exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        code, _, err = donmai(short, "host", "run", "--port", str(port))
    error, hint = [line for line in err.splitlines() if not line.startswith("{")]
    assert code == 1
    assert error.startswith(f"error: control API cannot listen on 127.0.0.1:{port}: ")
    assert hint.startswith("hint: ")
