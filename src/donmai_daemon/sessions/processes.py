"""Processes of this machine: name one beyond doubt, find all that belong to a session, end them, hear of an end.

Linux answers from `/proc` and pidfds; elsewhere psutil and kqueue stand in.

A process id alone names nothing for long, because ids are used again. With the start time beside it, it does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import anyio

MARK_VARIABLE = "DONMAI_SESSION_MARK"
"""Environment variable with a value of its own for each session; whatever the session starts inherits it."""

_PR_SET_CHILD_SUBREAPER = 36
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL})
_LOOK_SECONDS = 0.25
_PROC = Path("/proc")
_LINUX = sys.platform == "linux"


class ProcessId(NamedTuple):
    """One process for good. `start` is in clock ticks since boot (Linux) or in milliseconds since the epoch."""

    pid: int
    start: int


class ProcessRow(NamedTuple):
    """One line of the process table; `leader` is the id of the process's session, `group` that of its group."""

    id: ProcessId
    parent: int
    group: int
    leader: int


def boot_id() -> str:
    """Names this boot of the machine: process ids and start times of another boot mean nothing. "" where unknown."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def identify(pid: int) -> ProcessId | None:
    """The running process with this id, None where there is none (one that has ended and waits to be reaped is none)."""
    row = _row(pid)
    return None if row is None else row.id


def identify_child(pid: int) -> ProcessId:
    """Our own child with this id, which we have not reaped, so that nobody else can have the id."""
    row = _row(pid, reaped=False)
    return ProcessId(pid, 0) if row is None else row.id


def is_running(process: ProcessId) -> bool:
    return identify(process.pid) == process


def table() -> dict[int, ProcessRow]:
    """Every running process that can be seen, by id."""
    return {row.id.pid: row for row in map(_row, _pids()) if row is not None}


def belonging(root: ProcessId | None, mark: str) -> set[ProcessId]:
    """Everything that belongs to a session, `root` (its first process) included, this process never.

    Found are: descendants of `root`; its process group and terminal session; and, wherever it went (setsid, double
    fork, adopted by init), whatever carries the session's mark in its environment.
    """
    rows = table()
    children: dict[int, list[int]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row.id.pid)
    found: set[int] = set()
    if root is not None:
        holder = rows.get(root.pid)
        # Numbers of groups and sessions are not given to new processes while they are in use: as long as nobody else
        # holds the number, whoever carries it got it from our root.
        if holder is None or holder.id == root:
            found = {pid for pid, row in rows.items() if root.pid in (row.group, row.leader)}
            found |= {root.pid} & rows.keys()
    needle = f"{MARK_VARIABLE}={mark}".encode()
    found |= {pid for pid in rows if pid not in found and needle in _environment(pid)}
    todo = list(found)
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return {rows[pid].id for pid in found if pid != os.getpid()}


def descendants(pid: int) -> set[ProcessId]:
    """All children of `pid`, their children, and so on."""
    rows = table()
    found: set[int] = set()
    todo = [pid]
    while todo:
        parent = todo.pop()
        for row in rows.values():
            if row.parent == parent and row.id.pid not in found:
                found.add(row.id.pid)
                todo.append(row.id.pid)
    return {rows[child].id for child in found}


def become_subreaper() -> None:
    """Have orphans among our descendants handed to this process, not to init (Linux; elsewhere nothing happens)."""
    if _LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(*, except_for: int) -> None:
    """Take note of the end of children that were handed to us, all but the one whose status somebody waits for."""
    for pid in _pids():
        row = _row(pid, reaped=False)
        if row is not None and row.parent == os.getpid() and pid != except_for:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Signal exactly this process; False where it is gone (or is not ours to signal)."""
    try:
        held = _hold(process.pid)
        try:
            # The descriptor holds on to whatever has the id now; the start time says whether that is the one we mean.
            if not is_running(process):
                return False
            if held is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(held, number)
        finally:
            if held is not None:
                os.close(held)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _hold(pid: int) -> int | None:
    """A pidfd, None where this system has none. Raises `ProcessLookupError`, and `OSError`."""
    if not _LINUX:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in _NO_SUCH_CALL:
            return None
        raise


async def wait_ended(process: ProcessId) -> None:
    """Return once the process has ended, also one that is not our child. At once where it has.

    Raises `OSError` where the system cannot tell (no descriptors left, say): whoever took that for an end would kill
    what runs.
    """
    try:
        descriptor = _exit_descriptor(process.pid)
    except ProcessLookupError:
        return
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
        while is_running(process):  # noqa: ASYNC110 - an old kernel, or a sandbox that keeps the call back: no event
            await anyio.sleep(_LOOK_SECONDS)
        return
    try:
        if is_running(process):
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "linux":

    def _exit_descriptor(pid: int) -> int:
        """Becomes readable when the process ends. Raises `ProcessLookupError`, and `OSError`."""
        return os.pidfd_open(pid)

    def _pids() -> Iterator[int]:
        return (int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdecimal())

    def _row(pid: int, *, reaped: bool = True) -> ProcessRow | None:
        try:
            text = (_PROC / str(pid) / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        # The name in parentheses may hold anything, parentheses too; after the last one the fields are numbers.
        fields = text[text.rindex(b")") + 2 :].split()
        # A process whose first thread has ended while others go on shows as a zombie too, with more than one thread.
        if reaped and fields[0] in (b"Z", b"X") and int(fields[17]) < 2:
            return None
        return ProcessRow(ProcessId(pid, int(fields[19])), int(fields[1]), int(fields[2]), int(fields[3]))

    def _environment(pid: int) -> list[bytes]:
        try:
            return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return []  # not ours to read, so not ours to end

else:
    import psutil

    def _exit_descriptor(pid: int) -> int:
        queue = select.kqueue()
        event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        descriptor = os.dup(queue.fileno())
        try:
            queue.control([event], 0)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _pids() -> Iterator[int]:
        return iter(psutil.pids())

    def _row(pid: int, *, reaped: bool = True) -> ProcessRow | None:
        try:
            process = psutil.Process(pid)
            if reaped and process.status() == psutil.STATUS_ZOMBIE:
                return None
            start = int(process.create_time() * 1000)
            return ProcessRow(ProcessId(pid, start), process.ppid(), os.getpgid(pid), os.getsid(pid))
        except (psutil.Error, OSError):
            return None

    def _environment(pid: int) -> list[bytes]:
        try:
            variables: Mapping[str, str] = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return []
        return [f"{name}={value}".encode() for name, value in variables.items()]
