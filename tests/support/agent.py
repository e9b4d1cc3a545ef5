"""Runners of sessions as processes of their own, and repositories for them to clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.support.work import WorkServer

from donmai_daemon.model.json import Json, JsonObject

HASTY = str(Path(__file__).with_name("hasty_agent.py"))


@dataclass(frozen=True)
class Ran:
    """How a run ended, and what it printed."""

    code: int
    line: JsonObject
    errors: str


class Sandbox:
    """A machine without a daemon: a home of its own, and the three variables a sandbox is given."""

    def __init__(self, directory: Path, server: WorkServer) -> None:
        self.worktrees = directory / "worktrees"
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        self._server = server

    def environment(
        self, session_id: str, command: Sequence[str], changes: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "DONMAI_DAEMON_URL": self._server.url,
            "DONMAI_SESSION_ID": session_id,
            "DONMAI_RUNTIME_JWT": self._server.token,
            "DONMAI_AGENT__COMMAND": json.dumps(list(command)),
            **changes,
        }

    def start(
        self,
        session_id: str,
        command: Sequence[str],
        changes: Mapping[str, str] = MappingProxyType({}),
        *,
        hasty: bool = False,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """`hasty`: with waits a hundred times shorter."""
        program = ["-P", HASTY] if hasty else ["-m", "donmai_daemon", "agent", "run"]
        return subprocess.Popen(
            [sys.executable, *program, "--worktree-dir", str(self.worktrees)],
            env=self.environment(session_id, command, changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        session_id: str,
        command: Sequence[str],
        changes: Mapping[str, str] = MappingProxyType({}),
        *,
        hasty: bool = False,
    ) -> Ran:
        return finish(self.start(session_id, command, changes, hasty=hasty))


def finish(process: subprocess.Popen[str]) -> Ran:
    """Wait for the end of a run; standard output must be one line of JSON."""
    output, errors = process.communicate(timeout=60)
    lines = output.splitlines()
    assert len(lines) == 1, (output, errors)
    line: Json = json.loads(lines[0])
    assert isinstance(line, dict)
    return Ran(process.returncode, line, errors)


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def make_repository(directory: Path) -> Path:
    """Two commits on `main`, a branch `side`, a tag `v1` on the first."""
    directory.mkdir(parents=True)

    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath=/dev/null")
    git(directory, "init", "--quiet", "--initial-branch=main", "--template=")
    for number in (1, 2):
        (directory / "file").write_text(f"{number}\n")
        git(directory, "add", "file")
        git(directory, *identity, "commit", "--quiet", "--message", f"number {number}")
        if number == 1:
            git(directory, "tag", "v1")
            git(directory, "branch", "side")
    return directory


def git(directory: Path, *arguments: str) -> str:
    """What git prints, stripped."""
    done = subprocess.run(["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
