"""A real platform process on loopback, and the requests that tests make of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO

import httpx

from donmai_daemon.model.json import Json, JsonObject

_PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """Status, headers and JSON of an answer; `body` is `{}` where it is not a JSON object."""

    status: int
    body: JsonObject
    headers: httpx.Headers
    text: str

    def text_of(self, name: str) -> str:
        """A field that must be a text."""
        value = self.body[name]
        assert isinstance(value, str), f"{name} is {value!r}"
        return value

    def list_of(self, name: str) -> list[JsonObject]:
        """A field that must be a list of objects."""
        value = self.body[name]
        assert isinstance(value, list), f"{name} is {value!r}"
        return [element for element in value if isinstance(element, dict)]

    def object_of(self, name: str) -> JsonObject:
        """A field that must be an object."""
        value = self.body[name]
        assert isinstance(value, dict), f"{name} is {value!r}"
        return value


@dataclass(frozen=True)
class TestWorker:
    """A machine that has registered."""

    __test__ = False

    worker_id: str
    host_id: str
    token: str
    registered: JsonObject


class PlatformClient:
    """What anyone may ask of a platform over the wire, at `url`; `_http` is set while it can be reached."""

    url = ""
    _http: httpx.Client | None = None

    def call(
        self,
        method: str,
        path: str,
        bearer: str | None = None,
        body: Json | bytes = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = _PATIENCE,
    ) -> Answer:
        """One request. Bytes are sent as they are, anything else but None as JSON."""
        assert self._http is not None
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if content is not None else {}
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        answer = self._http.request(
            method, path, content=content, headers={**sent, **(headers or {})}, timeout=timeout
        )
        return read_answer(answer)

    def stream(self, method: str, path: str, bearer: str, pieces: Sequence[bytes]) -> Answer:
        """One request whose body comes in pieces, without a Content-Length."""
        assert self._http is not None
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        return read_answer(self._http.request(method, path, content=iter(pieces), headers=headers))

    def register(self, key: str, machine: str = "machine-1", **fields: Json) -> TestWorker:
        """Register a machine on `/api/workers/register`, with `fields` beside or instead of the usual ones."""
        body: JsonObject = {"hostname": f"{machine}.example", "capacity": 2, "machineId": machine, "version": "0"}
        answer = self.call("POST", "/api/workers/register", key, body | fields)
        assert answer.status == 200, answer.text
        return TestWorker(
            answer.text_of("workerId"), answer.text_of("workerHostId"), answer.text_of("runtimeToken"), answer.body
        )

    def beat(
        self, worker: TestWorker, *, wait: float | None = None, token: str | None = None, **fields: Json
    ) -> Answer:
        """Send a beat; `wait` asks for it to be held so many seconds."""
        body: JsonObject = {"status": "idle", "activeCount": 0, "maxSessions": 2, "allowlistHash": "0" * 64}
        return self.call(
            "POST",
            f"/api/workers/{worker.worker_id}/heartbeat",
            token or worker.token,
            body | fields,
            headers=None if wait is None else {"Prefer": f"wait={wait:g}"},
            timeout=_PATIENCE + (wait or 0.0),
        )

    def enqueue(
        self, key: str, host_id: str, op: str = "project.add", params: JsonObject | None = None, **fields: Json
    ) -> JsonObject:
        """Queue a mutation, which must be taken; the mutation."""
        body: JsonObject = {"workerHostId": host_id, "op": op, "params": PARAMS if params is None else params}
        answer = self.call("POST", "/api/daemon/mutations", key, body | fields)
        assert answer.status == 201, answer.text
        return answer.object_of("mutation")

    def mutations(self, key: str, host_id: str, limit: int = 500) -> list[JsonObject]:
        """The mutations of a host, newest first."""
        answer = self.call("GET", f"/api/daemon/mutations?workerHostId={host_id}&limit={limit}", key)
        assert answer.status == 200, answer.text
        return answer.list_of("mutations")

    def mutation(self, key: str, host_id: str, mutation_id: str) -> JsonObject:
        """One of them, as the list shows it."""
        return next(m for m in self.mutations(key, host_id) if m["id"] == mutation_id)

    def cancel(self, key: str, mutation_id: str) -> Answer:
        """Ask to take a mutation back."""
        return self.call("DELETE", f"/api/daemon/mutations/{mutation_id}", key)

    def hosts(self, key: str) -> list[JsonObject]:
        """The hosts of the key's organisation."""
        answer = self.call("GET", "/api/daemon/hosts", key)
        assert answer.status == 200, answer.text
        return answer.list_of("hosts")


class PlatformProcess(PlatformClient):
    """`donmai platform serve` on a free port of 127.0.0.1.

    `store` are the options that say where data is: `--data-dir D`, or the addresses of servers. The same options go
    to the operator's verbs. Everything the process logs is in `log`.
    """

    def __init__(
        self,
        store: Sequence[str],
        log: Path,
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.store = tuple(store)
        self.log = log
        self.options = tuple(options)
        self._environ = {**os.environ, **(environ or {})}
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._drain: Thread | None = None

    @classmethod
    def embedded(
        cls,
        directory: Path,
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> PlatformProcess:
        """One on the embedded store in `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        return cls(["--data-dir", str(directory / "platform")], directory / "platform.log", options, environ, port)

    def __enter__(self) -> PlatformProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it is ready. A later start after `stop` or `kill` takes the same port again."""
        assert not self.running
        command = [*_DONMAI, "platform", "serve", "--host", "127.0.0.1", "--port", str(self._port), "--json"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self.store, *self.options],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._environ,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(_PATIENCE)
            self._process.stdout.close()
            raise AssertionError(f"the platform did not start:\n{self.log_text()[-4000:]}")
        ready = json.loads(line)
        assert ready["ready"] is True
        assert ready["pid"] == self._process.pid
        self.url = ready["url"]
        self._port = int(self.url.rsplit(":", 1)[1])
        self._drain = Thread(target=_read_to_end, args=(self._process.stdout,), daemon=True)
        self._drain.start()
        self._http = httpx.Client(base_url=self.url, timeout=_PATIENCE, trust_env=False)

    def stop(self) -> int | None:
        """End it in good order; its exit code, None where it did not run."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what is lost now was not durable."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int | None:
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_PATIENCE)
            raise AssertionError(f"the platform did not end:\n{self.log_text()[-4000:]}") from None
        finally:
            if self._drain is not None:
                self._drain.join(_PATIENCE)
                self._drain = None
            if self._http is not None:
                self._http.close()  # only now: a held beat may still have been waiting for its answer
                self._http = None
            self._process = None
        return code

    def log_text(self) -> str:
        """All that the process has logged, over all its starts."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    # The operator, on the same machine.

    def operate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `donmai platform WORDS… --json` on this platform's data."""
        return subprocess.run(
            [*_DONMAI, "platform", *words, *self.store, "--json"],
            capture_output=True,
            text=True,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )

    def operated(self, *words: str) -> JsonObject:
        """The same, which must go well; its JSON."""
        done = self.operate(*words)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def make_key(self, role: str, org: str = "acme", name: str | None = None) -> str:
        """A new key's text."""
        more = ["--name", name] if name else []
        key = self.operated("key", "create", "--org", org, "--role", role, *more)["key"]
        assert isinstance(key, str)
        return key


PARAMS: JsonObject = {"id": "alpha", "repository": "https://github.com/acme/alpha.git"}
"""Good params of `project.add`."""

_DONMAI = (sys.executable, "-m", "donmai_daemon")


def read_answer(answer: httpx.Response) -> Answer:
    """What tests look at of a response."""
    body: object = None
    with contextlib.suppress(ValueError):
        body = json.loads(answer.content)
    return Answer(answer.status_code, body if isinstance(body, dict) else {}, answer.headers, answer.text)


@contextlib.contextmanager
def running(platform: PlatformProcess) -> Iterator[PlatformProcess]:
    """Start `platform`, and end it whatever happens."""
    with platform:
        yield platform


def _read_to_end(stream: IO[str]) -> None:
    with stream:
        for _ in stream:
            pass
