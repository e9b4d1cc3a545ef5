"""`donmai dev` from end to end: two real processes, one real file."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.cli import COMMAND, Finished, donmai, environment

from donmai_daemon.cli.dev_record import default_directory


class Terminal:
    """A running `donmai dev`, read line by line."""

    def __init__(self, process: subprocess.Popen[str], home: Path, directory: Path) -> None:
        self.process = process
        self.home = home
        self.directory = directory
        self.lines: list[str] = []

    def until(self, pattern: str) -> re.Match[str]:
        """The first line from here on in which `pattern` is found."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern!r} did not come; what came: {self.lines}")

    def mutation(self, *argv: str) -> Finished:
        """A `donmai mutation` command beside it."""
        return donmai(self.home, "mutation", *argv, "--dev-dir", str(self.directory))

    def host(self, *argv: str) -> Finished:
        """A `donmai host` command for its daemon."""
        return donmai(self.home, "host", *argv, "--state-dir", str(self.directory / "state"))

    @property
    def pid_of_daemon(self) -> int:
        pid: int = json.loads(self.host("status", "--json").out)["pid"]
        return pid

    def ended(self, number: signal.Signals) -> tuple[int, str]:
        """Exit code and standard error after a signal."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for a unix socket's."""
    with tempfile.TemporaryDirectory(prefix="dev", dir="/tmp") as path:
        yield Path(path)


@contextmanager
def dev(home: Path, *, by_default: bool = False) -> Iterator[Terminal]:
    """`donmai dev` until it has said that all is well; `by_default` in the directory that it takes by itself."""
    directory = default_directory({"HOME": str(home)}) if by_default else home / "dev"
    where = [] if by_default else ["--dir", str(directory)]
    with subprocess.Popen(
        [*COMMAND, "dev", *where, "--port", "0", "--platform-port", "0"],
        env=environment(home), cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        terminal = Terminal(process, home, directory)
        try:
            terminal.until("Ctrl-C ends both")
            yield terminal
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


def children_of(pid: int) -> list[int]:
    """Pidfds of the processes that `pid` has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [os.pidfd_open(int(child)) for child in text.split()]


def all_ended(handles: list[int]) -> bool:
    """Whether all of them end within 30 seconds."""
    for handle in handles:
        ready, _, _ = select.select([handle], [], [], 30)
        os.close(handle)
        if not ready:
            return False
    return True


def test_the_story_of_the_readme(short: Path) -> None:
    """Start, try what the screen says, see the file change around the comments, see it applied, end with Ctrl-C."""
    with dev(short) as terminal:
        screen = "\n".join(terminal.lines)
        config = terminal.directory / "daemon.toml"
        assert re.search(r"registered +as wkr_", screen)
        assert re.search(r"beating ", screen)
        assert f"Config file    {config}" in screen
        assert re.search(r"Control API +http://127\.0\.0\.1:\d+", screen)
        assert re.search(
            rf"-m donmai_daemon mutation enqueue project\.add --id demo --repository https://github\.com/acme/demo\.git "
            rf"--dev-dir {terminal.directory}$",
            screen,
            re.MULTILINE,
        )
        before = config.read_text()
        queued = terminal.mutation(
            "enqueue", "project.add", "--id", "demo", "--repository", "https://github.com/acme/demo.git"
        )
        assert queued.code == 0, queued
        identifier = queued.out.split()[0]
        terminal.until(rf"{identifier}  project\.add id=demo repository=https://github\.com/acme/demo\.git$")
        terminal.until(rf"{identifier}  applied$")
        terminal.until(r'^\+repositories = \["https://github\.com/acme/demo\.git"\]')
        after = config.read_text()
        assert after.startswith(before)
        assert "[projects.demo]" in after.removeprefix(before)
        handles = children_of(terminal.process.pid)
        assert len(handles) == 2
        code, err = terminal.ended(signal.SIGINT)
        assert (code, "Traceback" in err) == (0, False)
        assert all_ended(handles)
        assert not (terminal.directory / "dev.json").exists()


def test_a_second_start_keeps_everything(short: Path) -> None:
    """In its own directory nothing has to be named; the second run has the keys, the machine and the history of the first."""
    with dev(short, by_default=True) as terminal:
        assert terminal.lines[-4].endswith("-m donmai_daemon mutation list")
        code, _, err = donmai(short, "mutation", "enqueue", "project.disable", "--id", "hello")
        assert (code, err.startswith("using the development platform at http://127.0.0.1:")) == (0, True)
        terminal.until("applied")
        keys = (terminal.directory / "keys.json").read_bytes()
        assert terminal.ended(signal.SIGTERM)[0] == 0
    with dev(short, by_default=True) as terminal:
        assert (terminal.directory / "keys.json").read_bytes() == keys
        code, out, _ = donmai(short, "mutation", "list", "--json")
        assert code == 0
        assert [m["op"] for m in json.loads(out)["mutations"]] == ["project.disable"]


def test_a_second_one_beside_it_is_refused(short: Path) -> None:
    """One environment a directory: the second says who has it, exit 1, and disturbs nothing."""
    with dev(short) as terminal:
        code, _, err = donmai(short, "dev", "--dir", str(terminal.directory), "--port", "0", "--platform-port", "0")
        assert code == 1
        assert err.startswith(
            f"error: donmai dev runs in {terminal.directory} already (pid {terminal.process.pid})\nhint: "
        )
        assert terminal.host("status").code == 0


def test_a_daemon_that_dies_is_told_with_its_last_lines(short: Path) -> None:
    """When the daemon is killed, dev says so, ends the platform too, and exits 1."""
    with dev(short) as terminal:
        handles = children_of(terminal.process.pid)
        os.kill(terminal.pid_of_daemon, signal.SIGKILL)
        _, err = terminal.process.communicate(timeout=60)
        assert terminal.process.returncode == 1
        assert "the daemon's last lines:\n" in err
        assert "error: the daemon ended by itself (killed by SIGKILL)\nhint: all it wrote is in " in err
        assert all_ended(handles)


def test_a_daemon_that_asks_for_a_restart_gets_it(short: Path) -> None:
    """`donmai host restart` gives a new process on the same address."""
    with dev(short) as terminal:
        before = json.loads(terminal.host("status", "--json").out)
        assert terminal.host("restart").code == 0
        terminal.until("daemon is back")
        after = json.loads(terminal.host("status", "--json").out)
        assert (after["machineId"], after["status"]) == (before["machineId"], "ready")
        assert after["pid"] != before["pid"]


def test_a_daemon_that_is_stopped_ends_dev(short: Path) -> None:
    """`donmai host stop` is a wish, not an accident: dev ends too, exit 0."""
    with dev(short) as terminal:
        assert terminal.host("stop").code == 0
        _, err = terminal.process.communicate(timeout=60)
        assert (terminal.process.returncode, "Traceback" in err) == (0, False)


def test_nothing_outlives_a_killed_dev(short: Path) -> None:
    """SIGKILL of dev itself ends both children; a new one that is started at once waits until they are gone."""
    with dev(short) as terminal:
        handles = children_of(terminal.process.pid)
        assert terminal.ended(signal.SIGKILL)[0] == -signal.SIGKILL
    code, _, err = terminal.mutation("list")
    assert (code, err.splitlines()[0]) == (1, f"error: no development environment runs in {terminal.directory}")
    with dev(short) as terminal:
        assert all_ended(handles)
        assert terminal.host("status").code == 0


def test_ctrl_c_while_starting_is_clean(short: Path) -> None:
    """Being asked to end before all is up ends what was started, exit 0."""
    with subprocess.Popen(
        [*COMMAND, "dev", "--dir", str(short / "dev"), "--port", "0", "--platform-port", "0"],
        env=environment(short), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("starting ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (0, "", False)
