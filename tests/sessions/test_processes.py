"""Processes: named beyond doubt, found wherever they went, ended without touching a neighbour."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from tests.support.waiting import eventually

from donmai_daemon.sessions.ending import end, sweep
from donmai_daemon.sessions.processes import (
    MARK_VARIABLE,
    ProcessId,
    belonging,
    identify,
    identify_child,
    is_running,
    send,
    wait_ended,
)

pytestmark = pytest.mark.anyio

MARK = uuid.uuid4().hex
"""This process's own: a sweep by a mark that another worker's tests use as well would end their processes."""


@contextmanager
def running(script: str, mark: str = MARK) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that leads a session of its own and carries `mark`."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", script],
        start_new_session=True,
        env={"PATH": os.environ["PATH"], MARK_VARIABLE: mark},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_number_used_again_is_another_process() -> None:
    """The start time beside the id tells a process from whoever has its number next."""
    with running("exec sleep 600") as child:
        known = identify_child(child.pid)
        assert is_running(known)
        later = ProcessId(known.pid, known.start + 1)
        assert not is_running(later)
        assert not send(later, signal.SIGKILL)
        await wait_ended(later)
        assert is_running(known)


async def test_whoever_has_the_runners_number_next_is_nobody_of_the_session(tmp_path: Path) -> None:
    """Neither that process nor its group and session: only the mark would tell that they belong."""
    pid = tmp_path / "pid"
    with running(f"sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait", mark="somebody-elses") as child:
        eventually(pid.exists)
        stranger = identify_child(child.pid)
        runner = ProcessId(stranger.pid, stranger.start - 1)
        assert belonging(runner, MARK) == set()
        assert await sweep(runner, MARK) == 0
        assert is_running(stranger)
        assert identify(int(pid.read_text())) is not None
        os.killpg(stranger.pid, signal.SIGKILL)


async def test_an_end_is_heard_of_whoever_the_parent_is(tmp_path: Path) -> None:
    """The end of a process that is not our child wakes the waiter; one that waits to be reaped has ended."""
    pid = tmp_path / "pid"
    with running(f"sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait") as child:
        eventually(pid.exists)
        grandchild = identify(int(pid.read_text()))
        assert grandchild is not None
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait_ended, grandchild)
                await anyio.lowlevel.checkpoint()
                assert send(grandchild, signal.SIGKILL)
        ended = identify_child(child.pid)
        child.kill()
        with anyio.fail_after(10):
            await wait_ended(ended)
        assert identify(child.pid) is None


async def test_everything_of_a_session_is_found(tmp_path: Path) -> None:
    """A child, one in a session of its own, and one that lost its parent; nobody of another session."""
    script = f"""
        sleep 600 & echo $! > {tmp_path}/child
        setsid sleep 600 & echo $! > {tmp_path}/apart
        (setsid /bin/sh -c 'sleep 600 & echo $! > {tmp_path}/orphan.new; mv {tmp_path}/orphan.new {tmp_path}/orphan' &)
        wait
    """
    with running(script) as child, running("exec sleep 600", f"{MARK}other") as other:
        eventually((tmp_path / "orphan").exists)
        names = ("child", "apart", "orphan")
        eventually(lambda: all((tmp_path / name).exists() for name in names))
        root = identify_child(child.pid)
        found = {process.pid for process in belonging(root, MARK)}
        assert {int((tmp_path / name).read_text()) for name in names} | {child.pid} <= found
        assert other.pid not in found
        assert os.getpid() not in found
        await sweep(root, MARK)
        assert not belonging(root, MARK)
        assert is_running(identify_child(other.pid))


async def test_the_mark_alone_finds_what_the_runner_left() -> None:
    """After a restart of the daemon the root may be gone, and its number somebody else's."""
    with running("exec sleep 600") as child:
        left = identify_child(child.pid)
        eventually(lambda: belonging(ProcessId(child.pid, left.start + 1), MARK) == {left})
        assert belonging(None, MARK[:-1]) == set()
        assert await sweep(None, MARK) == 1
        assert not is_running(left)


async def test_patience_comes_before_force(tmp_path: Path) -> None:
    """TERM first; what ends by itself is not killed, what does not is, after its time."""
    up = tmp_path / "up"
    with running(f"trap 'exit 0' TERM; touch {up}; while :; do sleep 0.02; done") as child:
        eventually(up.exists)
        assert await end(identify_child(child.pid), MARK, grace=20) == "terminated"
    up.unlink()
    with running(f"trap '' TERM; touch {up}; while :; do sleep 0.02; done") as child:
        eventually(up.exists)
        root = identify_child(child.pid)
        assert await end(root, MARK, grace=0.1) == "killed"
        assert not is_running(root)


async def test_a_kernel_without_pidfds_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the call is missing (an old kernel, a sandbox), ends are seen and signals are sent all the same."""

    def missing(_pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing)
    with running("exec sleep 600") as child, anyio.fail_after(20):
        known = identify_child(child.pid)
        async with anyio.create_task_group() as group:
            group.start_soon(wait_ended, known)
            assert send(known, signal.SIGKILL)


async def test_a_system_that_cannot_tell_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of descriptors is no end of a process: nobody may take it for one and sweep what runs."""

    def exhausted(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", exhausted)
    with running("exec sleep 600") as child:
        known = identify_child(child.pid)
        with pytest.raises(OSError, match="Too many open files"):
            await wait_ended(known)
        assert is_running(known)
