"""A platform reduced to its work routes, on a real socket in a thread, with the transition table of the wire.

It stands in where a test must decide what the platform says, and when; the real platform has tests of its own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from tests.support.serving import serving

from donmai_daemon.model.json import Json, JsonObject, text_or_none

MOVES = {
    "pending": {"claimed", "running"},
    "claimed": {"running", "failed", "stopped"},
    "running": {"finalizing", "completed", "failed", "stopped"},
    "finalizing": {"completed", "failed", "stopped"},
}
TERMINAL = {"completed", "failed", "stopped"}


@dataclass
class Job:
    """One session as the platform sees it. `history` is every status it was in, in order."""

    detail: JsonObject
    claim_id: str | None
    worker_id: str
    status: str = "claimed"
    history: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass
class WorkServer:
    """`before` sees each request (method, path, body) first and may answer it: `(status, body)`; a status of 0 cuts the
    connection after the request took effect.
    """

    url: str = ""
    token: str = "session-token"
    jobs: dict[str, Job] = field(default_factory=dict)
    nacks: list[tuple[str, JsonObject]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    queue: list[JsonObject] = field(default_factory=list)
    stop: set[str] = field(default_factory=set)
    before: Callable[[str, str, JsonObject], tuple[int, JsonObject] | None] = lambda _m, _p, _b: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, session_id: str, *, claim_id: str | None = "c1", worker_id: str = "wkr_1", **detail: Json) -> Job:
        body: JsonObject = {
            "sessionId": session_id,
            "platformUrl": self.url,
            "workerId": worker_id,
            "authToken": self.token,
            "claimId": claim_id,
            **detail,
        }
        job = self.jobs[session_id] = Job(body, claim_id, worker_id)
        return job

    def wait(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until `condition` holds after some request."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not condition():
                assert self.changed.wait(deadline - time.monotonic()), (
                    f"not within {seconds} s: {self.requests[-20:]}"
                )

    def answer(self, method: str, path: str, bearer: str | None, body: JsonObject) -> tuple[int, JsonObject]:
        parts = [unquote(part) for part in path.split("/")[1:]]
        if parts[:3] == ["api", "daemon", "sessions"] and method == "GET":
            job = self.jobs.get(parts[3])
            if bearer != f"Bearer {self.token}":
                return 401, {"error": "no"}
            return (200, job.detail) if job is not None else (404, {"error": "session not found"})
        if parts[:2] == ["api", "workers"] and parts[3] == "poll":
            work: list[Json] = list(self.queue)
            self.queue.clear()
            return 200, {"work": work}
        if parts[:2] == ["api", "sessions"]:
            return self._session(parts[2], parts[3], bearer, body)
        return 404, {"error": "no such route"}

    def _session(self, session_id: str, verb: str, bearer: str | None, body: JsonObject) -> tuple[int, JsonObject]:
        if verb == "nack":
            self.nacks.append((session_id, body))
            return 200, {}
        job = self.jobs.get(session_id)
        if job is None:
            return 404, {"error": "unknown session"}
        if bearer not in {f"Bearer {self.token}", "Bearer host-token"}:
            return 401, {"error": "token"}
        if verb == "lock-refresh":
            return 200, {"refreshed": True, "stop": session_id in self.stop}
        status = str(body["status"])
        mine = body.get("workerId") == job.worker_id and body.get("claimId") == job.claim_id
        if not mine or (status not in MOVES.get(job.status, set()) and status != job.status):
            return 409, self._conflict(job)
        if status == job.status:
            return 409, self._conflict(job)
        job.status = status
        job.history.append(status)
        job.error = text_or_none(body, "error")
        return 200, {"ok": True}

    def _conflict(self, job: Job) -> JsonObject:
        return {
            "error": "illegal move",
            "code": "illegal_transition",
            "status": job.status,
            "workerId": job.worker_id,
            "claimId": job.claim_id,
        }


@contextmanager
def work_server() -> Iterator[WorkServer]:
    """Serve on a free port of loopback until the block ends."""
    state = WorkServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            read = json.loads(self.rfile.read(length)) if length else {}
            body: JsonObject = read if isinstance(read, dict) else {}
            with state.changed:
                state.requests.append((self.command, self.path))
                decided = state.before(self.command, self.path, body)
                if decided is None or decided[0] == 0:
                    status, payload = state.answer(self.command, self.path, self.headers.get("authorization"), body)
                else:
                    status, payload = decided
                state.changed.notify_all()
            if decided is not None and decided[0] == 0:
                self.close_connection = True
                return
            data = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve  # noqa: N815 - names that http.server gives

    with serving(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state
