"""The daemon as it is run: a process, its files, its control API, its log; and a platform process on the other end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from tests.support.cli import COMMAND, Finished, donmai, environment
from tests.support.platform import Answer, PlatformProcess, read_answer
from tests.support.waiting import PATIENCE, eventually

from donmai_daemon.model.json import Json, JsonObject

SETTLED = {"applied", "failed", "cancelled"}


class DaemonProcess:
    """`donmai host run` with a configuration file and a state directory of its own below `directory`.

    `directory` must have a short name: the control API's unix socket lies below it.
    """

    def __init__(
        self, directory: Path, config: str, token: str, machine: str, environ: Mapping[str, str] | None = None
    ) -> None:
        self.home = directory
        self.state = directory / "state"
        self.file = directory / "etc" / "daemon.toml"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(config.encode())
        self.environ = {"DONMAI_DAEMON_TOKEN": token, "DONMAI_MACHINE__ID": machine, **(environ or {})}
        self.url = ""
        self.log: list[JsonObject] = []
        """Every line logged, over all starts; what is no JSON is under `text`."""
        self._heard = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start, and wait until start-up is complete."""
        before = len(self.log)
        self.spawn()
        started = self.until_logged("daemon.started", before)
        self.url = str(started["control"])

    def spawn(self) -> None:
        """Start, and wait for nothing."""
        self._process = subprocess.Popen(
            [*COMMAND, "host", "run", "--config", str(self.file), "--state-dir", str(self.state),
             "--port", "0"],
            env=environment(self.home, **self.environ),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                try:
                    parsed: Json = json.loads(line)
                except ValueError:
                    parsed = None
                with self._heard:
                    self.log.append(parsed if isinstance(parsed, dict) else {"text": line.rstrip("\n")})
                    self._heard.notify_all()

    def logged(self, event: str, since: int = 0) -> list[JsonObject]:
        """The lines of `event`, from line number `since` on."""
        return [line for line in self.log[since:] if line.get("event") == event]

    def until_logged(self, event: str, since: int = 0) -> JsonObject:
        """Wait for a line of `event`, from line number `since` on."""
        deadline = time.monotonic() + PATIENCE
        with self._heard:
            while not (found := self.logged(event, since)):
                left = deadline - time.monotonic()
                assert left > 0, f"{event} was not logged within {PATIENCE} s: {self.log[-20:]}"
                assert self._listener is not None
                assert self._listener.is_alive(), f"the daemon ended: {self.log[-20:]}"
                self._heard.wait(min(left, 0.5))  # the last line is told while the listener still lives
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end by itself; the exit code."""
        code = self.process.wait(PATIENCE)
        if self._listener is not None:
            self._listener.join(PATIENCE)
        self._process = None
        return code

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.ended()

    def close(self) -> None:
        """End it whatever it does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()

    # Its control API, and the command line.

    def get(self, path: str) -> Answer:
        with httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False) as client:
            return read_answer(client.get(path))

    def post(self, path: str, body: JsonObject | None = None) -> Answer:
        token = (self.state / "control-token").read_text().strip()
        with httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False) as client:
            return read_answer(client.post(path, json=body or {}, headers={"Authorization": f"Bearer {token}"}))

    def status(self) -> JsonObject:
        return self.get("/api/daemon/status").body

    def conditions(self) -> dict[str, JsonObject]:
        """By code."""
        return by_code(self.status()["conditions"])

    def mutations(self) -> list[JsonObject]:
        """The history, newest first."""
        return self.get("/api/daemon/mutations").list_of("mutations")

    def host(self, *argv: str) -> Finished:
        """`donmai host …` for this daemon."""
        return donmai(self.home, "host", *argv, "--state-dir", str(self.state))


@dataclass
class Machine:
    """A daemon, the platform it is registered with, and the key of somebody who may change it."""

    daemon: DaemonProcess
    platform: PlatformProcess
    key: str
    machine_id: str

    def host(self) -> JsonObject:
        """The machine as the platform lists it; `{}` where it does not."""
        found = [host for host in self.platform.hosts(self.key) if host["machineId"] == self.machine_id]
        return found[0] if found else {}

    @property
    def host_id(self) -> str:
        """Waits until the machine has registered."""
        return str(eventually(self.host)["workerHostId"])

    def joined(self) -> None:
        """Wait until a beat was accepted."""
        eventually(lambda: self.daemon.get("/readyz").status == 200)

    def enqueue(self, op: str, params: JsonObject) -> str:
        """Queue a mutation; its id."""
        return str(self.platform.enqueue(self.key, self.host_id, op, params)["id"])

    def mutation(self, mutation_id: str) -> JsonObject:
        return self.platform.mutation(self.key, self.host_id, mutation_id)

    def settled(self, mutation_id: str) -> JsonObject:
        """Wait until the platform knows how a mutation ended."""

        def look() -> JsonObject | None:
            mutation = self.mutation(mutation_id)
            return mutation if mutation["status"] in SETTLED else None

        return eventually(look)

    def mutate(self, op: str, params: JsonObject) -> tuple[str, str | None]:
        """Queue a mutation and wait for its end; status and error at the platform."""
        mutation = self.settled(self.enqueue(op, params))
        error = mutation.get("error")
        return str(mutation["status"]), error if isinstance(error, str) else None

    def conditions(self) -> dict[str, JsonObject]:
        """What the platform has heard in beats, by code."""
        return by_code(self.host().get("conditions"))


def by_code(conditions: Json) -> dict[str, JsonObject]:
    """A list of conditions, by code."""
    listed = conditions if isinstance(conditions, list) else []
    return {str(one["code"]): one for one in listed if isinstance(one, dict)}


def config_for(url: str, more: str = "") -> str:
    """A configuration for the platform at `url`, with a comment to keep an eye on."""
    return f'# this machine\'s own file\n[platform]\nurl = "{url}"   # where it reports to\n{more}'
