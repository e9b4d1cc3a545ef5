"""A control API on real sockets, with ports written by hand behind it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread

from donmai_daemon.clock import SystemClock
from donmai_daemon.control.app import ControlApp
from donmai_daemon.control.protocol import Limits
from donmai_daemon.control.router import RouteGroup
from donmai_daemon.control.routes import control_routes
from donmai_daemon.control.server import serve
from donmai_daemon.control.sockets import Sockets, bind
from donmai_daemon.control.token import ControlToken
from donmai_daemon.errors import ParamsInvalid, UnsupportedOperation, WrongState
from donmai_daemon.model.condition import Condition
from donmai_daemon.model.config import Agent, Config, PlatformLink, Project
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import MutationRecord, MutationRequest, MutationState
from donmai_daemon.model.status import BeatTrace, EffectiveSettings, Preview, Snapshot
from donmai_daemon.model.wire import HostStatus

DIGITS = "0123456789abcdef" * 4
TOKEN = ControlToken(DIGITS)
NOW = datetime(2026, 11, 24, 6, 1, 27, 123000, tzinfo=UTC)
STAMP = "2026-11-24T06:01:27.123Z"
SECRET_URL = "https://someone:hunter2@github.com/acme/beta.git"


def config(projects: int = 0) -> Config:
    """Two projects, one of them disabled and with a password in its URL, and `projects` more."""
    listed = {
        "beta": Project("beta", enabled=False, repositories=(SECRET_URL,)),
        "alpha": Project("alpha", repositories=("https://github.com/acme/alpha.git", "git@github.com:acme/a.git")),
    }
    for number in range(projects):
        name = f"project-{number:05}"
        listed[name] = Project(name, repositories=(f"https://github.com/acme/{name}.git",))
    return Config(projects=listed, platform=PlatformLink(url="https://platform.test"), agent=Agent(("agent",)))


def snapshot(projects: int = 0) -> Snapshot:
    """A healthy daemon."""
    configured = config(projects)
    trace = BeatTrace(
        interval_seconds=30.0,
        last_sent_at=STAMP,
        last_accepted_at=STAMP,
        last_error=None,
        consecutive_failures=0,
        running=True,
        ready=True,
        last_body={"status": "idle", "activeCount": 0, "maxSessions": 8},
        last_answer={
            "acknowledged": True,
            "pendingMutations": [
                {"id": "mut_1", "op": "project.add", "params": {}, "requestedBy": "eve@acme.test"}
            ],
        },
    )
    return Snapshot(
        lifecycle="ready",
        version="0.1.0",
        machine_id="machine-1",
        worker_id="wkr_1",
        pid=4711,
        uptime_seconds=12.3456,
        active_sessions=1,
        config=configured,
        applied_project_ids=configured.enabled_project_ids,
        host_status=HostStatus("ok"),
        beat=trace,
        pending_mutations=1,
        review_mutations=0,
        unsent_acks=2,
        conditions=(Condition("clock_skew", "warning", "the clock is 40 s ahead", STAMP),),
        config_path="/etc/donmai/daemon.toml",
        config_digest="ab" * 32,
        config_valid=True,
        queue_depth=0,
        poll_running=True,
        taken_at=NOW,
    )


def mutation(number: int = 1, state: MutationState = "settled") -> MutationRecord:
    """One row of history."""
    request = MutationRequest(
        f"mut_{number}", "project.add", {"id": "alpha", "repository": SECRET_URL}, STAMP, "eve@acme.test"
    )
    if state != "settled":
        return MutationRecord(request, "config", state, STAMP)
    diff = f'--- daemon.toml\n+++ daemon.toml\n+repositories = ["{SECRET_URL}"]\n'
    return MutationRecord(request, "config", "settled", STAMP, "applied", True, None, diff, STAMP, STAMP)


@dataclass
class StandInDaemon:
    """All three ports. `hold`, where set, keeps `submit` waiting until it is set, so that a request is in flight."""

    now: Snapshot = field(default_factory=snapshot)
    records: list[MutationRecord] = field(default_factory=lambda: [mutation(2, "pending"), mutation(1)])
    submitted: list[tuple[str, Mapping[str, Json], str]] = field(default_factory=list)
    asked: list[tuple[MutationState | None, int]] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    forbidden: str | None = None
    hold: anyio.Event | None = None
    entered: anyio.Event = field(default_factory=anyio.Event)
    broken: bool = False

    def snapshot(self) -> Snapshot:
        if self.broken:
            raise RuntimeError("secret of the implementation")
        return self.now

    def effective_settings(self) -> EffectiveSettings:
        values: JsonObject = {
            "capacity": {"max_sessions": 8},
            "platform": {"proxy": "http://me:pw@proxy.test:3128"},
        }
        return EffectiveSettings(values, {"capacity.max_sessions": "file"}, ["unknown key captcity"])

    async def recent(self, state: MutationState | None, limit: int) -> list[MutationRecord]:
        self.asked.append((state, limit))
        return [record for record in self.records if state is None or record.state == state][:limit]

    async def find(self, mutation_id: str) -> MutationRecord | None:
        return next((record for record in self.records if record.request.id == mutation_id), None)

    async def submit(self, op: str, params: Mapping[str, Json], requested_by: str) -> MutationRecord:
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        self._check(op, params)
        self.submitted.append((op, params, requested_by))
        record = replace(mutation(9, "pending"), lane="config")
        request = MutationRequest("loc_9", op, dict(params), STAMP, requested_by, "local")
        return replace(record, request=request)

    async def preview(self, op: str, params: Mapping[str, Json]) -> Preview:
        self._check(op, params)
        if params.get("id") == "gone":
            return Preview("failed", None, "project not known")
        return Preview("applied", f"+repositories = [{SECRET_URL!r}]\n", None)

    async def reload(self) -> str:
        return self._act("reload")

    async def pause(self) -> str:
        return self._act("pause")

    async def resume(self) -> str:
        return self._act("resume")

    async def stop(self) -> str:
        return self._act("stop")

    async def restart(self) -> str:
        return self._act("restart")

    def _act(self, name: str) -> str:
        if self.forbidden is not None:
            raise WrongState(self.forbidden)
        self.acts.append(name)
        return f"did {name}"

    def _check(self, op: str, params: Mapping[str, Json]) -> None:
        if op not in ("project.add", "capacity.set"):
            raise UnsupportedOperation(op)
        if op == "project.add" and "id" not in params:
            raise ParamsInvalid("id", "is missing")


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        value: Json = json.loads(self.body)
        return value

    @property
    def object(self) -> JsonObject:
        value = self.json
        assert isinstance(value, dict), value
        return value


@dataclass
class Surface:
    """A served control API and everything behind it."""

    sockets: Sockets
    app: ControlApp
    daemon: StandInDaemon
    groups: Sequence[RouteGroup]

    @property
    def port(self) -> int:
        return self.sockets.port

    def open(self) -> None:
        """Complete the start-up."""
        self.app.open(TOKEN, self.groups)

    async def raw(self, data: bytes, *, unix: bool = False) -> bytes:
        """Send bytes, then read until the other end closes (or five seconds pass: a failure)."""
        with anyio.fail_after(5):
            async with await self.connect(unix=unix) as stream:
                await stream.send(data)
                received = b""
                try:
                    while True:
                        received += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return received

    async def connect(self, *, unix: bool = False) -> anyio.abc.SocketStream:
        if unix:
            return await anyio.connect_unix(self.sockets.path)
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        unix: bool = False,
    ) -> Reply:
        """One request on a connection of its own. `body` is sent as JSON unless it is bytes."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        fields |= headers or {}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return parse(await self.raw(head.encode("latin-1") + b"\r\n" + content, unix=unix))


def parse(received: bytes) -> Reply:
    """Read one answer, the whole of `received`."""
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines), f"a header twice: {lines}"
    return Reply(int(status_line.split(" ")[1]), headers, body)


async def answer_of(stream: anyio.abc.SocketStream, *, head_only: bool = False) -> Reply:
    """Read one answer from a connection that stays open."""
    received = b""
    with anyio.fail_after(5):
        while b"\r\n\r\n" not in received:
            received += await stream.receive()
        reply = parse(received)
        length = 0 if head_only else int(reply.headers["content-length"])
        while len(received.partition(b"\r\n\r\n")[2]) < length:
            received += await stream.receive()
    return parse(received)


class Faults(logging.Handler):
    """Collects what the server and the event loop complain about: each is a mistake of ours, whatever was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


@contextmanager
def no_faults() -> Iterator[None]:
    """Raise where uvicorn or asyncio logged anything."""
    faults = Faults()
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(faults)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(faults)
    assert faults.seen == []


@asynccontextmanager
async def surface(
    directory: Path,
    daemon: StandInDaemon | None = None,
    *,
    more: Sequence[RouteGroup] = (),
    started: bool = True,
    limits: Limits = Limits(grace_seconds=5.0),  # noqa: B008 - frozen
    body_seconds: float = 5.0,
) -> AsyncIterator[Surface]:
    """Serve a control API on a free port and on `directory/control.sock`."""
    behind = daemon or StandInDaemon()
    sockets = bind("127.0.0.1", 0, directory / "control.sock")
    app = ControlApp(sockets.port, SystemClock(), body_seconds)
    groups = control_routes(behind, behind, behind, more)
    with no_faults():
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda task_status: serve(app, sockets, limits=limits, task_status=task_status))
            served = Surface(sockets, app, behind, groups)
            if started:
                served.open()
            try:
                yield served
            finally:
                tasks.cancel_scope.cancel()
