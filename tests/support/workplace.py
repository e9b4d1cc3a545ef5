"""A platform and a machine that works for it, as processes, to be killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.platform import PlatformProcess
from tests.support.waiting import eventually

from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.sessions.processes import ProcessId, belonging
from donmai_daemon.sessions.record import RecordStore

ENDED = {"completed", "failed", "stopped"}

_DONMAI = (sys.executable, "-m", "donmai_daemon")
_STARTED = "daemon.started"
_CONTROL = re.compile(r'"control":"http://127\.0\.0\.1:(\d+)"')


class Machine:
    """One machine: a configuration, a state directory, and a daemon that may or may not run."""

    def __init__(
        self, directory: Path, platform: PlatformProcess, worker_key: str, config: str, name: str = "m1"
    ) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.log = directory / "daemon.log"
        directory.mkdir(parents=True)
        (directory / "daemon.toml").write_text(
            f'[machine]\nid = "{name}"\n[platform]\nurl = "{platform.url}"\n{config}'
        )
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "DONMAI_DAEMON_TOKEN": worker_key,
            "DONMAI_STATE_DIR": str(self.state),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """Start the daemon where it was before, and wait until its start is complete."""
        self._start(self._port)
        if not self.running and self._port:
            self._start(0)  # somebody else has taken the port meanwhile
        assert self.running, self.log_text()[-4000:]
        self._port = int(_CONTROL.findall(self.log_text())[-1])

    def _start(self, port: int) -> None:
        starts = self.log_text().count(_STARTED) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_DONMAI, "host", "run", "--config", str(self.directory / "daemon.toml"), "--port", str(port)],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        eventually(lambda: self.log_text().count(_STARTED) > starts or not self.running)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def host(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `donmai host WORDS…` against the daemon, over its unix socket."""
        return subprocess.run(
            [*_DONMAI, "host", *words], env=self._environ, capture_output=True, text=True, timeout=60, check=False
        )

    def kill(self) -> None:
        """SIGKILL, and nothing else of it."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        """Signal the daemon, and wait for its end; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code

    def close(self) -> None:
        """End the daemon and whatever its sessions still run."""
        if self._process is not None:
            self.kill()
        for record in RecordStore(self.state / "sessions" / "records").load():
            for process in belonging(record.process, record.mark) if record.mark else ():
                os.kill(process.pid, signal.SIGKILL)

    def runners(self) -> dict[str, ProcessId]:
        """The runner of each session that runs, by the records on disk."""
        records = RecordStore(self.state / "sessions" / "records").load()
        return {r.session_id: r.process for r in records if r.state == "running" and r.process is not None}

    def log_text(self) -> str:
        return self.log.read_text("utf-8", "replace")


class Workplace:
    """A platform, an operator's key, and the sessions that were queued."""

    def __init__(self, platform: PlatformProcess) -> None:
        self.platform = platform
        self.key = platform.make_key("owner")
        self.worker_key = platform.make_key("worker")

    def queue(self, **fields: Json) -> str:
        answer = self.platform.call("POST", "/api/sessions", self.key, {"projectId": "alpha", **fields})
        assert answer.status == 201, answer.text
        return answer.text_of("sessionId")

    def session(self, session_id: str) -> JsonObject:
        answer = self.platform.call("GET", f"/api/sessions/{session_id}/status", self.key)
        assert answer.status == 200, answer.text
        return answer.body

    def status(self, session_id: str) -> str:
        return str(self.session(session_id)["status"])

    def until_ended(self, session_id: str, seconds: float = 60.0) -> str:
        eventually(lambda: self.status(session_id) in ENDED, seconds)
        return self.status(session_id)

    def mutate(self, op: str, params: JsonObject) -> tuple[str, str | None]:
        """Queue a mutation for the only machine, wait for its end; status and error."""
        host = str(self.platform.hosts(self.key)[0]["workerHostId"])
        mutation = str(self.platform.enqueue(self.key, host, op, params)["id"])
        seen: JsonObject = {}

        def settled() -> bool:
            seen.update(self.platform.mutation(self.key, host, mutation))
            return seen["status"] in {"applied", "failed"}

        eventually(settled, 60)
        return str(seen["status"]), text_or_none(seen, "error")
