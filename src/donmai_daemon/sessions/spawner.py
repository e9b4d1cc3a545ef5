"""Starting the runner of one session: `donmai agent run`, in a session of its own, so that it outlives the daemon.

The daemon may be killed at any instant; a runner must not act unknown to it. So the runner waits at a gate (a byte on
its standard input) until its process id is on disk:

1. spawn; the runner waits. Killed here: the pipe closes, the runner reads the end and leaves without having done anything.
2. the record with the process id is on disk. Killed here: the same, and the record says so to the next daemon.
3. the gate opens. Killed from here on: the runner goes on, and the next daemon finds it by its record.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from donmai_daemon.model.config import Config
from donmai_daemon.sessions.ending import reason_file
from donmai_daemon.sessions.processes import MARK_VARIABLE, ProcessId, identify_child

GATE_VARIABLE = "DONMAI_START_GATE"
"""Set to `stdin` where the runner has to wait for a byte before it does anything."""

LOG_VARIABLE = "DONMAI_SESSION_LOG"
"""The file that standard error goes to; the runner rotates it."""

_INHERITED = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LOGNAME", "NO_PROXY", "PATH", "SHELL", "SSH_AUTH_SOCK", "SSL_CERT_DIR",
        "SSL_CERT_FILE", "TMPDIR", "TZ", "USER", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
        "all_proxy", "no_proxy", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
    }
)  # fmt: skip
"""What a program needs to find its files, its language and the network. Nothing here is a secret of the daemon's;
a proxy's URL may name a user, and whoever is to reach the network through it must know that."""


@dataclass(frozen=True, slots=True)
class SessionFiles:
    """Where the files of sessions are, below one private directory. Names only."""

    directory: Path

    @property
    def records(self) -> Path:
        return self.directory / "records"

    @property
    def worktrees(self) -> Path:
        return self.directory / "worktrees"

    def log(self, session_id: str) -> Path:
        """What runner and agent print; `….log.1` beside it is the one before."""
        return self.directory / "logs" / f"{session_id}.log"

    def result(self, session_id: str) -> Path:
        """The runner's one line of JSON."""
        return self.directory / "logs" / f"{session_id}.result"

    def remove(self, session_id: str) -> None:
        """Remove log, result and reason of a session that is forgotten. The worktree is a person's to remove."""
        log = self.log(session_id)
        for path in (log, log.with_name(log.name + ".1"), reason_file(log), self.result(session_id)):
            with contextlib.suppress(OSError):
                path.unlink()


@dataclass(frozen=True, slots=True)
class Spawned:
    """A runner waiting at its gate. It is our child: whoever holds this reaps it (`reap`) after its end."""

    process: ProcessId
    gate: int

    def open_gate(self) -> None:
        """Let it go on. It may have died meanwhile; whoever watches it will see that."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.gate, b"\n")
        os.close(self.gate)

    def abandon(self) -> None:
        """Let it leave without doing anything, and wait until it has."""
        os.close(self.gate)
        reap(self.process)


def reap(child: ProcessId) -> int | None:
    """Wait for the end of our child; its exit code, negative for a signal. None where it is not our child."""
    if identify_child(child.pid) != child:
        return None  # the number is another process's by now, which may be a child of ours as well
    try:
        _, status = os.waitpid(child.pid, 0)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


class Spawner:
    """`runner` is the command line of `donmai agent run`. Of `environ` only an allow-list is handed on."""

    def __init__(self, files: SessionFiles, runner: Sequence[str], environ: Mapping[str, str]) -> None:
        self.files = files
        self._runner = tuple(runner)
        self._inherited = {
            name: value for name, value in environ.items() if name in _INHERITED or name.startswith("LC_")
        }

    def spawn(self, session_id: str, *, mark: str, read_token: str, daemon_url: str, config: Config) -> Spawned:
        """Start the runner and leave it at its gate. Blocking, a few milliseconds. Raises `OSError`."""
        log = self.files.log(session_id)
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.files.worktrees.mkdir(parents=True, exist_ok=True, mode=0o700)
        reason_file(log).unlink(missing_ok=True)
        environment = {
            **self._inherited,
            **_settings(config),
            "DONMAI_SESSION_ID": session_id,
            "DONMAI_DAEMON_URL": daemon_url,
            "DONMAI_SESSION_READ_TOKEN": read_token,
            MARK_VARIABLE: mark,
            GATE_VARIABLE: "stdin",
            LOG_VARIABLE: str(log),
        }
        with contextlib.ExitStack() as opened:
            waiting, gate = os.pipe()
            opened.callback(os.close, waiting)
            try:
                output = _private(self.files.result(session_id), truncate=True)
                opened.callback(os.close, output)
                errors = _private(log)
                opened.callback(os.close, errors)
                # Not subprocess.Popen, which takes a child that outlives its parent for a mistake.
                pid = os.posix_spawnp(
                    self._runner[0],
                    [*self._runner, "--worktree-dir", str(self.files.worktrees)],
                    environment,
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, descriptor, number)
                        for number, descriptor in enumerate((waiting, output, errors))
                    ],
                    setsid=True,
                    setsigdef=[
                        signal.SIGPIPE,
                        signal.SIGXFSZ,
                    ],  # which Python ignores, and children would go on ignoring
                    setsigmask=[],
                )
            except BaseException:
                os.close(gate)
                raise
        return Spawned(identify_child(pid), gate)

    def result_line(self, session_id: str) -> bytes:
        """The end of what the runner printed on standard output; empty where it printed nothing."""
        try:
            with self.files.result(session_id).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 65536))
                return file.read()
        except OSError:
            return b""

    def leave_reason(self, session_id: str, reason: str) -> None:
        """Say why the session is about to be ended. Where that cannot be written, it ends without."""
        with contextlib.suppress(OSError):
            descriptor = _private(reason_file(self.files.log(session_id)), truncate=True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(reason.encode("utf-8", "replace"))


def _settings(config: Config) -> dict[str, str]:
    """What the runner needs to know of the configuration, as the variables that override it."""
    link = config.platform
    settings = {"DONMAI_AGENT__COMMAND": json.dumps(config.agent.command)}
    if link.ca_file is not None:
        settings["DONMAI_PLATFORM__CA_FILE"] = link.ca_file
    if link.proxy is not None:
        settings["DONMAI_PLATFORM__PROXY"] = link.proxy
    if link.allow_insecure:
        settings["DONMAI_PLATFORM__ALLOW_INSECURE"] = "true"
    return settings


def _private(path: Path, *, truncate: bool = False) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags | (os.O_TRUNC if truncate else 0), 0o600)
