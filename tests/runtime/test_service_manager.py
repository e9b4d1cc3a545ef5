"""What the service manager hears while the daemon runs."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.support.clock import FakeClock
from tests.support.control import snapshot

from donmai_daemon.runtime.service_manager import keep_informed, status_line
from donmai_daemon.systemd import Notifier

pytestmark = pytest.mark.anyio


async def test_the_watchdog_is_fed_and_the_status_told_once(tmp_path: Path) -> None:
    """Each interval feeds the watchdog; the status line goes out when it reads differently, and only then."""
    clock, now = FakeClock(), snapshot()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        async with anyio.create_task_group() as group:
            group.start_soon(keep_informed, Notifier(str(tmp_path / "notify")), 15.0, lambda: now, clock)
            await clock.sleepers()
            heard = [listener.recv(4096), listener.recv(4096)]
            assert heard == [b"STATUS=" + status_line(now).encode(), b"WATCHDOG=1"]
            await clock.advance(15)
            assert listener.recv(4096) == b"WATCHDOG=1"
            now = replace(now, pending_mutations=7)
            await clock.advance(15)
            assert b"7 mutations pending" in listener.recv(4096)
            assert listener.recv(4096) == b"WATCHDOG=1"
            group.cancel_scope.cancel()


async def test_without_a_manager_it_ends_at_once() -> None:
    """Outside systemd nothing waits."""
    clock = FakeClock()
    async with anyio.create_task_group() as group:
        group.start_soon(keep_informed, Notifier(None), None, snapshot, clock)
        await anyio.wait_all_tasks_blocked()
        assert clock.next_wake is None


def test_the_line_names_what_matters() -> None:
    """Last accepted beat, failures since and their reason, what is pending, what runs, and a state that is not ready."""
    now = snapshot()
    quiet = replace(
        now,
        lifecycle="ready",
        active_sessions=0,
        pending_mutations=0,
        review_mutations=0,
        beat=replace(
            now.beat, last_accepted_at="2026-11-24T06:00:00.000Z", consecutive_failures=0, last_error=None
        ),
    )
    assert status_line(quiet) == "last beat accepted 2026-11-24T06:00:00.000Z, 0 mutations pending"
    troubled = replace(
        quiet,
        lifecycle="draining",
        active_sessions=2,
        review_mutations=1,
        beat=replace(quiet.beat, last_accepted_at=None, consecutive_failures=3, last_error="no route to host"),
    )
    assert status_line(troubled) == (
        "draining, no beat accepted yet, 3 failed since: no route to host, 0 mutations pending, 1 to review, 2 sessions"
    )
