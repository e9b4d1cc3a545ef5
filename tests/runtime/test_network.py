"""News of the network. The kernel's own news are proven in a network namespace, which takes root."""

from __future__ import annotations

import socket

import anyio.lowlevel
import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock

from donmai_daemon.runtime.network import Ways, follow_network, kernel_news, ways_out

pytestmark = pytest.mark.anyio

HOME: Ways = ("198.51.100.7", None)
TRAIN: Ways = ("203.0.113.9", "2001:db8::9")
NOWHERE: Ways = (None, None)


async def test_only_another_way_out_counts() -> None:
    """A burst of news is one question; the same answer is no change, none is a loss that only the log has, another one is told once."""
    clock = FakeClock()
    answers = [HOME, HOME, NOWHERE, HOME, TRAIN]
    asked: list[Ways] = []
    told: list[Ways] = []

    def ways() -> Ways:
        asked.append(answers[len(asked)])
        return asked[-1]

    async def changed() -> None:
        told.append(asked[-1])

    kernel, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    daemon.setblocking(False)
    with kernel, capture_logs() as events:
        async with anyio.create_task_group() as group:
            group.start_soon(follow_network, changed, clock, ways, lambda: daemon)
            for _ in answers[1:]:
                kernel.send(b"one")
                await clock.sleepers()
                kernel.send(b"two")
                await clock.advance(0.25)
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert asked == answers
    assert told == [HOME, TRAIN]
    assert [event["event"] for event in events] == ["network.gone", "network.changed", "network.changed"]


async def test_a_system_without_news_is_done_without() -> None:
    """Where the socket is refused, following ends and nothing fails."""

    def refused() -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    with capture_logs() as events:
        await follow_network(anyio.lowlevel.checkpoint, FakeClock(), ways_out, refused)
    assert [(event["event"], event["reason"]) for event in events] == [
        ("network.no_news", "Operation not permitted")
    ]


def test_the_kernel_is_asked_without_a_packet() -> None:
    """The socket for news opens for an ordinary user, and the question about the way out never raises."""
    kernel_news().close()
    assert len(ways_out()) == 2
