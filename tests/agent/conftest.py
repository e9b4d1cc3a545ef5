"""Fixtures of the runner's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agent import Sandbox
from tests.support.work import WorkServer, work_server


@pytest.fixture
def server() -> Iterator[WorkServer]:
    """A platform of work routes."""
    with work_server() as server:
        yield server


@pytest.fixture
def sandbox(tmp_path: Path, server: WorkServer) -> Sandbox:
    """A place to run `donmai agent run` in, against `server`."""
    return Sandbox(tmp_path, server)
