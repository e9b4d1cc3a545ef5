"""A platform and a machine that works for it, as processes, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.agent import until
from tests.support.platform import PlatformProcess

from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.sessions.processes import ProcessId, belonging
from donmai_daemon.sessions.record import RecordStore

DAEMON = str(Path(__file__).with_name("work_daemon.py"))
ENDED = {"completed", "failed", "stopped"}


class Machine:
    """One machine: a configuration, a state directory, and a daemon that may or may not run."""

    def __init__(
        self, directory: Path, platform: PlatformProcess, worker_key: str, config: str, name: str = "m1"
    ) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.log = directory / "daemon.log"
        directory.mkdir(parents=True)
        (directory / "daemon.toml").write_text(f'[platform]\nurl = "{platform.url}"\n{config}')
        self._key = worker_key
        self._name = name
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", DAEMON, str(self.directory / "daemon.toml"), str(self.state)],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "HOME": str(self.directory),
                    "MACHINE": self._name,
                    "DONMAI_DAEMON_TOKEN": self._key,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log_text()[-4000:]
        self.port = int(line)

    def kill(self) -> None:
        """SIGKILL, and nothing else of it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
        self._process = None

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
        until(lambda: self.status(session_id) in ENDED, seconds)
        return self.status(session_id)

    def mutate(self, op: str, params: JsonObject) -> tuple[str, str | None]:
        """Queue a mutation for the only machine, wait for its end; status and error."""
        host = str(self.platform.hosts(self.key)[0]["workerHostId"])
        mutation = str(self.platform.enqueue(self.key, host, op, params)["id"])
        seen: JsonObject = {}

        def settled() -> bool:
            seen.update(self.platform.mutation(self.key, host, mutation))
            return seen["status"] in {"applied", "failed"}

        until(settled, 60)
        return str(seen["status"]), text_or_none(seen, "error")
