"""News of the network: another way out than before, without looking for it on a tick.

The kernel tells of every address and route, which on a machine with containers is a lot that does not matter here. So
each burst of news is answered by one question to the routing table: from which address would this machine speak to
the world? Only another answer counts. No packet is sent for it.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

import anyio
import structlog

from donmai_daemon.clock import Clock

Ways: TypeAlias = tuple[str | None, str | None]
"""Source address to the world over IPv4 and over IPv6; None where there is no way."""

_SETTLE_SECONDS = 0.25
"""A network comes in several steps (address, routes, a second family); it is looked at when they are done."""

# linux/rtnetlink.h: address and route groups; links alone change too often (a radio's signal strength) and too early.
_GROUPS = 0x10 | 0x40 | 0x100 | 0x400

# Documentation prefixes (RFC 5737, RFC 3849): routed like any foreign address, and nobody's.
_WORLD = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def ways_out() -> Ways:
    """Ask the routing table; nothing is sent."""
    first, second = (_source(family, address) for family, address in _WORLD)
    return first, second


async def follow_network(
    changed: Callable[[], Awaitable[None]],
    clock: Clock,
    ways: Callable[[], Ways] = ways_out,
    news: Callable[[], socket.socket] | None = None,
) -> None:
    """Await `changed()` whenever there is another way out, until cancelled. Returns at once where the system has no news.

    `news` opens the socket that is readable when there is some.
    """
    try:
        channel = (news or kernel_news)()
    except OSError as error:
        # A sandbox without netlink: beats then notice a change when they fail, and come back with their backoff.
        structlog.get_logger("network").info("network.no_news", reason=error.strerror)
        return
    with channel:
        known = ways()
        while True:
            await anyio.wait_readable(channel)
            await clock.sleep(_SETTLE_SECONDS)
            for _ in _waiting(channel):
                pass
            now = ways()
            if now != known:
                structlog.get_logger("network").info("network.changed" if any(now) else "network.gone")
                if any(now):
                    await changed()
            known = now


def kernel_news() -> socket.socket:
    """A socket that is readable when addresses or routes change: netlink on Linux, a routing socket on macOS."""
    if sys.platform == "linux":
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            channel.bind((0, _GROUPS))
        except OSError:
            channel.close()
            raise
    else:
        channel = socket.socket(socket.AF_ROUTE, socket.SOCK_RAW, 0)
    channel.setblocking(False)
    return channel


def _waiting(channel: socket.socket) -> Iterator[None]:
    """Take what has been told. Too much to be kept (ENOBUFS) is news as well."""
    with contextlib.suppress(OSError):
        while channel.recv(65536):
            yield


def _source(family: socket.AddressFamily, address: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None
