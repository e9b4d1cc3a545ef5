"""Name lookups: they work, they fail in words, and they do not keep a process from ending."""

from __future__ import annotations

import socket
import subprocess
import sys

import anyio
import pytest

from donmai_daemon.link.resolver import EventLoop

LOOP: dict[str, object] = {"loop_factory": EventLoop}

ENDS_WHILE_A_LOOKUP_HANGS = """
import socket, threading
import anyio
from donmai_daemon.clock import SystemClock
from donmai_daemon.errors import PlatformUnreachable
from donmai_daemon.link.client import open_client
from donmai_daemon.link.resolver import EventLoop
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.secret import Secret

socket.getaddrinfo = lambda *_, **__: threading.Event().wait()  # a name server that never answers

async def main():
    async with open_client(PlatformLink(url="https://platform.test"), SystemClock(), "1", {}) as client:
        try:
            await client.heartbeat("wkr_1", Secret("t"), {}, timeout=0.1)
        except PlatformUnreachable:
            print("unreachable")

anyio.run(main, backend_options={"loop_factory": EventLoop})
"""


def test_a_lookup_that_hangs_does_not_keep_the_process() -> None:
    """With a resolver that never returns, a request ends at its deadline and the process when it wants to."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_A_LOOKUP_HANGS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("unreachable\n", "", 0)


def test_names_are_found() -> None:
    """The machine's own name for itself leads to a loopback address."""

    async def look_up() -> list[str]:
        return [str(address[4][0]) for address in await anyio.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)]

    assert set(anyio.run(look_up, backend_options=LOOP)) <= {"127.0.0.1", "::1"}


def test_an_unknown_name_is_an_error() -> None:
    """A lookup that fails raises what the resolver raised."""

    async def look_up() -> None:
        await anyio.getaddrinfo("localhost", "no such service")

    with pytest.raises(socket.gaierror):
        anyio.run(look_up, backend_options=LOOP)


def test_programs_can_be_started_on_this_loop() -> None:
    """Child processes are awaited on this loop as on any other."""

    async def run() -> bytes:
        return (await anyio.run_process([sys.executable, "-c", "print(7)"])).stdout

    assert anyio.run(run, backend_options=LOOP) == b"7\n"
