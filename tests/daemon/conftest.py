"""Machines for the tests of the daemon as a whole: real processes on both ends of the wire."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from tests.support.daemon import DaemonProcess, Machine, config_for
from tests.support.platform import PlatformProcess

QUICK = ("--heartbeat-interval", "1", "--rate-limit", "100000")
"""Beats every second, so that a test does not wait for the next regular one; and nobody is turned away."""


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for a unix socket's."""
    with tempfile.TemporaryDirectory(prefix="dmn", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    """A platform for every test that leaves it running."""
    with PlatformProcess.embedded(tmp_path_factory.mktemp("platform"), QUICK) as running:
        yield running


@pytest.fixture(scope="session")
def owner_key(platform: PlatformProcess) -> str:
    return platform.make_key("owner")


@pytest.fixture(scope="session")
def worker_key(platform: PlatformProcess) -> str:
    return platform.make_key("worker")


@pytest.fixture
def own_platform(tmp_path: Path) -> Iterator[PlatformProcess]:
    """A platform of the test's own, to be stopped and started."""
    with PlatformProcess.embedded(tmp_path / "platform", QUICK) as running:
        yield running


class NewMachine(Protocol):
    """Makes a machine whose daemon has not been started."""

    def __call__(
        self,
        more: str = "",
        *,
        platform: PlatformProcess | None = None,
        url: str | None = None,
        environ: dict[str, str] | None = None,
    ) -> Machine: ...


@pytest.fixture
def new_machine(short: Path, platform: PlatformProcess, owner_key: str, worker_key: str) -> Iterator[NewMachine]:
    """Machines with an id of their own each. `more` goes to the end of the configuration file; `url` stands in for the
    platform's own; `platform` replaces the shared one."""
    shared = platform
    with ExitStack() as stack:

        def make(
            more: str = "",
            *,
            platform: PlatformProcess | None = None,
            url: str | None = None,
            environ: dict[str, str] | None = None,
        ) -> Machine:
            machine_id = f"m-{uuid.uuid4()}"
            used = platform or shared
            key, token = (
                (owner_key, worker_key) if used is shared else (used.make_key("owner"), used.make_key("worker"))
            )
            daemon = DaemonProcess(
                short / machine_id[:6], config_for(url or used.url, more), token, machine_id, environ
            )
            stack.callback(daemon.close)
            return Machine(daemon, used, key, machine_id)

        yield make


@pytest.fixture
def machine(new_machine: NewMachine) -> Machine:
    """A machine that has joined the platform."""
    made = new_machine()
    made.daemon.start()
    made.joined()
    return made
