"""Children and signals: ended in order, never left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cli import environment

from donmai_daemon.cli.child import Child, how_it_ended
from donmai_daemon.cli.interrupts import Interrupts

READY = "import signal, sys, time; print('ready', flush=True); "


def started(tmp_path: Path, program: str) -> Child:
    """A Python child that has come as far as printing `ready`."""
    child = Child("child", [sys.executable, "-c", READY + program], environment(tmp_path), tmp_path / "log")
    with Interrupts() as interrupts:
        while "ready" not in child.last_lines(10) and child.exit_code is None:
            interrupts.wait(0.01)
    return child


def test_a_signal_is_counted_and_ends_the_wait() -> None:
    """SIGINT, SIGTERM and SIGHUP wake the waiter and are counted instead of ending the process."""
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        for asked, number in enumerate((signal.SIGHUP, signal.SIGINT, signal.SIGTERM), 1):
            os.kill(os.getpid(), number)
            interrupts.wait(60)
            assert interrupts.asked == asked
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.asked == 3, "a terminal that closes is not impatient"
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_ignored_stays_ignored() -> None:
    """Under nohup a closed terminal does not end the process."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            interrupts.wait(0)
            assert interrupts.asked == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_child_is_ended_by_sigterm(tmp_path: Path) -> None:
    """A child that obeys SIGTERM is waited for, and its own exit code is kept."""
    child = started(
        tmp_path, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('set', flush=True); signal.pause()"
    )
    with Interrupts() as interrupts:
        while "set" not in child.last_lines(10):
            interrupts.wait(0.01)
        child.end(interrupts, 60, give_up_after=0)
        assert child.exit_code == 7
        child.end(interrupts, 60, give_up_after=0)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_stubborn_child_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after its time."""
    child = started(
        tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with Interrupts() as interrupts:
        while "deaf" not in child.last_lines(10):
            interrupts.wait(0.01)
        child.end(interrupts, 0.05, give_up_after=0)
    assert child.exit_code == -signal.SIGKILL


def test_being_asked_again_skips_the_wait(tmp_path: Path) -> None:
    """A second Ctrl-C kills at once what would be waited for."""
    child = started(
        tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with Interrupts() as interrupts:
        while "deaf" not in child.last_lines(10):
            interrupts.wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        child.end(interrupts, 3600, give_up_after=0)
    assert child.exit_code == -signal.SIGKILL


def test_a_child_is_out_of_reach_of_the_terminal(tmp_path: Path) -> None:
    """A child has a session of its own, so that Ctrl-C at the terminal does not end it before its turn."""
    child = started(tmp_path, "time.sleep(60)")
    assert os.getsid(child.pid) == child.pid
    with Interrupts() as interrupts:
        child.end(interrupts, 60, give_up_after=0)
    assert child.exit_code == -signal.SIGTERM


def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL of the parent, which no code can answer, still ends the child."""
    parent = (
        "import os, sys, time\nfrom pathlib import Path\nfrom donmai_daemon.cli.child import Child\n"
        "child = Child('c', [sys.executable, '-c', 'import time; time.sleep(600)'], os.environ, Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, str(tmp_path / "log")],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        handle = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    ended, _, _ = select.select([handle], [], [], 30)
    os.close(handle)
    assert ended, "the child still runs"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")],
)
def test_how_it_ended_in_words(code: int, words: str) -> None:
    """An end is told by its exit code or its signal's name."""
    assert how_it_ended(code) == words
