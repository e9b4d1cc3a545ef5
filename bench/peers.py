"""Other agents of this kind, idle, in the same run: each installed into an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.environments import environment
from bench.footprint import as_row, call, idle, running

_SERVER_SECONDS = 180.0


class Peer(NamedTuple):
    """What to install, and how to have it run: given where its programs are and a directory of its own, its process."""

    packages: Sequence[str]
    running: Callable[[Path, Path], AbstractContextManager[subprocess.Popen[str]]]
    settle_seconds: float


def measure(seconds: float) -> Iterator[tuple[str, Mapping[str, float] | str]]:
    """Each peer's figures, or why there are none."""
    for name, peer in PEERS.items():
        try:
            yield name, _idle(name, peer, seconds)
        except subprocess.CalledProcessError as error:
            last = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
            yield name, f"{error}: {last}" if last else str(error)
        except OSError as error:
            yield name, str(error)


def _idle(name: str, peer: Peer, seconds: float) -> Mapping[str, float]:
    python = environment(name.replace(" ", "-"), peer.packages)
    with (
        tempfile.TemporaryDirectory(prefix="donmai-bench-") as place,
        peer.running(python.parent, Path(place)) as process,
    ):
        time.sleep(peer.settle_seconds)
        if process.poll() is not None:
            raise OSError(f"it ended with {process.returncode}")
        return as_row(idle(process.pid, seconds))


def _home(tools: Path, place: Path) -> dict[str, str]:
    return {"HOME": str(place), "PATH": f"{tools}:{os.environ['PATH']}"}


@contextmanager
def _buildbot(tools: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    home, program = _home(tools, place), str(tools / "buildbot-worker")
    call([program, "create-worker", f"{place}/w", "127.0.0.1:1", "n", "p"], home)
    with running([program, "start", "--nodaemon", f"{place}/w"], home) as process:
        yield process


@contextmanager
def _supervisord(tools: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    config = place / "supervisord.conf"
    config.write_text(f"[supervisord]\nnodaemon=true\nlogfile={place}/log\npidfile={place}/pid\n")
    with running([str(tools / "supervisord"), "-c", str(config)], _home(tools, place)) as process:
        yield process


@contextmanager
def _prefect(tools: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker of a server on loopback that has nothing to do for it."""
    program, port = str(tools / "prefect"), _free_port()
    home = _home(tools, place) | {
        "PREFECT_HOME": str(place),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # loopback only
    }
    with running([program, "server", "start", "--host", "127.0.0.1", "--port", str(port)], home):
        _answers(f"http://127.0.0.1:{port}/api/health")
        call([program, "work-pool", "create", "--type", "process", "pool"], home)
        with running([program, "worker", "start", "--pool", "pool", "--type", "process"], home) as process:
            yield process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> None:
    """Wait until it does. Raises `OSError`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _SERVER_SECONDS
    while True:
        try:
            direct.open(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


PEERS = {
    "buildbot-worker": Peer(["buildbot-worker"], _buildbot, 5),
    "supervisord": Peer(["supervisor"], _supervisord, 5),
    # Prefect 3.8 asks for any later FastAPI, and does not start with 0.165.
    "prefect worker": Peer(["prefect", "fastapi<0.140"], _prefect, 20),
}
