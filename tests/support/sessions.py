"""A host's sessions with everything real around them: processes, files, a control API, and a platform's work routes."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from tests.support.control import Surface, surface
from tests.support.work import WorkServer

from donmai_daemon.clock import SystemClock
from donmai_daemon.control.sessions import session_routes
from donmai_daemon.link.client import PlatformClient, open_client
from donmai_daemon.model.config import Admission, Agent, Capacity, Config, PlatformLink, Project
from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.model.secret import Secret
from donmai_daemon.runtime.drain import Drain
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.sessions.admission import Standing
from donmai_daemon.sessions.desk import SessionDesk
from donmai_daemon.sessions.manager import SessionManager
from donmai_daemon.sessions.platform_port import Credential
from donmai_daemon.sessions.record import RecordStore, SessionRecord
from donmai_daemon.sessions.reporter import Reporter
from donmai_daemon.sessions.session import SessionTools
from donmai_daemon.sessions.spawner import SessionFiles, Spawner
from donmai_daemon.sessions.work import PollAnswer, WorkItem, read_work_item

RUNNER = (sys.executable, "-m", "donmai_daemon", "agent", "run")


def work(session_id: str = "ses_1", **fields: Json) -> WorkItem:
    """A work item of project alpha."""
    return work_from({"sessionId": session_id, **fields})


def work_from(fields: Mapping[str, Json]) -> WorkItem:
    """A work item of project alpha with these fields."""
    read = read_work_item({"sessionId": "ses_1", "projectId": "alpha", "claimId": "c1", **fields})
    assert isinstance(read, WorkItem), read
    return read


def config(*, max_sessions: int = 8, command: Sequence[str] = ("/bin/true",)) -> Config:
    """Project alpha with one repository, beta disabled."""
    return Config(
        projects={
            "alpha": Project("alpha", repositories=("https://github.com/acme/alpha.git",)),
            "beta": Project("beta", enabled=False, repositories=("https://github.com/acme/beta.git",)),
        },
        capacity=Capacity(max_sessions),
        agent=Agent(tuple(command)),
    )


class ServedPlatform:
    """The sessions' port to a platform, over HTTP as the worker `wkr_1`."""

    worker_id: str | None = "wkr_1"

    def __init__(self, client: PlatformClient, server: WorkServer) -> None:
        self._client = client
        self._server = server

    async def nack(self, session_id: str, body: JsonObject) -> None:
        await self._client.nack(session_id, Secret("host-token"), body)

    async def status(self, session_id: str, body: JsonObject) -> None:
        await self._client.session_status(session_id, Secret("host-token"), body)

    async def credential(self, session_id: str) -> Credential:
        detail = await self._client.session_detail(session_id, Secret(self._server.token))
        return Credential(text_or_none(detail, "authToken") or "", self._server.url, "wkr_1")


@dataclass
class House:
    """One daemon's worth of sessions. `config` and `refusing` may be changed at any time."""

    server: WorkServer
    manager: SessionManager
    desk: SessionDesk
    files: SessionFiles
    api: Surface
    lifecycle: Lifecycle
    config: Config
    refusing: str | None = None
    seen: list[SessionRecord] = field(default_factory=list)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def note(self, record: SessionRecord) -> None:
        self.seen.append(record)
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until `condition` holds after some change of a session."""
        with anyio.fail_after(seconds):
            while not condition():
                await self._changed.wait()

    async def reported(self, session_id: str) -> SessionRecord:
        """Wait until the platform has been told the end of a session."""

        def done() -> list[SessionRecord]:
            return [r for r in self.seen if r.session_id == session_id and r.state == "reported"]

        await self.until(lambda: bool(done()))
        return done()[-1]

    async def take(self, *items: WorkItem) -> None:
        for item in items:
            self.server.add(item.session_id, claim_id=item.claim_id)
        await self.manager.take(PollAnswer(items=items))

    def all_routed(self) -> None:
        self.config = replace(self.config, admission=Admission("all-routed"))


@asynccontextmanager
async def house(
    directory: Path,
    server: WorkServer,
    settings: Config,
    *,
    runner: Sequence[str] = RUNNER,
    term_seconds: float = 20.0,
) -> AsyncIterator[House]:
    """Open the house; leaving it is what the end of a daemon is to its sessions: they go on."""
    clock = SystemClock()
    files = SessionFiles(directory / "sessions")
    records = RecordStore(files.records)
    houses: list[House] = []
    async with (
        open_client(PlatformLink(url=server.url), clock, "test", {}) as client,
        anyio.create_task_group() as tasks,
    ):
        platform = ServedPlatform(client, server)
        tools = SessionTools(
            records=records,
            spawner=Spawner(files, runner, {"PATH": "/usr/bin:/bin", "HOME": str(directory), "SECRET": "s"}),
            store=StoreThread(),
            clock=clock,
            daemon_url=lambda: f"http://127.0.0.1:{houses[0].api.port}",
            on_change=lambda record: houses[0].note(record),
            term_seconds=term_seconds,
        )
        manager = SessionManager(
            tools=tools,
            reporter=Reporter(platform, clock, random.Random(1)),
            standing=lambda active: Standing(houses[0].config, active, houses[0].refusing),
            worker_id=lambda: platform.worker_id,
        )
        desk = SessionDesk(manager, platform)
        lifecycle = Lifecycle(lambda: drain.look_again())
        drain = Drain(lifecycle, manager, lambda: houses[0].config.agent.drain_timeout_seconds)
        lifecycle.started()
        async with surface(directory, more=[session_routes(desk, drain)]) as api:
            houses.append(House(server, manager, desk, files, api, lifecycle, settings))
            await tasks.start(manager.run)
            tasks.start_soon(drain.run)
            yield houses[0]
            tasks.cancel_scope.cancel()
