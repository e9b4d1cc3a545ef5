"""Three processes behind one address, as the documentation sets them up: whichever is asked, stopped or killed."""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx
import pytest
from tests.platform.conftest import Org, make_org
from tests.platform.test_held_beats import held_now
from tests.support.daemon import DaemonProcess, config_for
from tests.support.platform import Answer, PlatformClient, PlatformProcess, TestWorker
from tests.support.proxies import Front, balancer, nginx
from tests.support.servers import Servers, free_port
from tests.support.waiting import eventually

from donmai_daemon.model.json import Json, JsonObject

PATIENCE = 30.0
CLIENTS = 6


class Through(PlatformClient):
    """Requests to the front, each on a connection of its own, so that they take turns among the processes."""

    def __init__(self, front: Front) -> None:
        self.url = front.url
        trusted = True if front.authority is None else ssl.create_default_context(cafile=str(front.authority))
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(
            base_url=front.url, verify=trusted, limits=limits, timeout=PATIENCE, trust_env=False
        )

    def close(self) -> None:
        """No more requests."""
        assert self._http is not None
        self._http.close()


@dataclass(frozen=True)
class Three:
    """Three processes on one PostgreSQL and one Redis, and what stands in front of them."""

    processes: Sequence[PlatformProcess]
    front: Front
    client: Through

    @cached_property
    def org(self) -> Org:
        """An organisation of theirs."""
        return make_org(self.processes[0], "acme")

    def holder(self) -> PlatformProcess:
        """Wait until one process holds a beat; that one."""
        return eventually(lambda: next((p for p in self.processes if p.running and held_now(p)), None))


@contextmanager
def three_behind(kind: str, servers: Servers, directory: Path, *options: str) -> Iterator[Three]:
    """The front knows its address before the processes start: it is their public URL."""
    with ExitStack() as stack:
        store, port = servers.new_store(), free_port()
        front = Front(f"https://127.0.0.1:{port}") if kind == "nginx" else stack.enter_context(balancer())
        processes = [
            stack.enter_context(
                PlatformProcess(store, directory / f"{n}.log", ["--public-url", front.url, *options])
            )
            for n in range(3)
        ]
        front.upstreams = [process.url for process in processes]
        if kind == "nginx":
            front = stack.enter_context(nginx(directory, front.upstreams, port))
        client = Through(front)
        stack.callback(client.close)
        yield Three(processes, front, client)


@pytest.fixture(scope="module", params=["balancer", pytest.param("nginx", marks=pytest.mark.slow)])
def front_kind(request: pytest.FixtureRequest) -> str:
    """What stands in front."""
    return str(request.param)


@pytest.fixture(scope="module")
def three(front_kind: str, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    """With the usual interval of 30 s: whatever comes sooner comes because a held beat was ended."""
    with three_behind(front_kind, servers, tmp_path_factory.mktemp("three"), "--rate-limit", "100000") as three:
        yield three


@pytest.fixture
def daemon(three: Three, request: pytest.FixtureRequest) -> Iterator[DaemonProcess]:
    """A real daemon that has joined through the front and has its beats held."""
    with tempfile.TemporaryDirectory(prefix="dmn", dir="/tmp") as directory:
        authority = three.front.authority
        more = "" if authority is None else f'ca_file = "{authority}"\n'
        machine = f"machine-of-{request.node.name}"
        daemon = DaemonProcess(Path(directory), config_for(three.front.url, more), three.org.worker, machine)
        try:
            daemon.start()
            eventually(lambda: daemon.get("/readyz").status == 200)
            yield daemon
        finally:
            daemon.close()


def host_of(three: Three, daemon: DaemonProcess) -> str:
    """The daemon's host id at the platform."""
    machine = daemon.environ["DONMAI_MACHINE__ID"]
    hosts = three.client.hosts(three.org.admin)
    return str(next(host["workerHostId"] for host in hosts if host["machineId"] == machine))


def applied(three: Three, mutation: JsonObject, within: float = 20.0) -> None:
    """Wait until the platform knows that it was applied; sooner than the regular beat would bring it about."""

    def look() -> bool:
        found = three.client.call("GET", f"/api/daemon/mutations/{mutation['id']}", three.org.admin)
        return found.status == 200 and found.object_of("mutation")["status"] == "applied"

    eventually(look, within)


def project(number: int) -> JsonObject:
    """Params of one `project.add` that is like no other."""
    return {"id": f"p{number}", "repository": f"https://github.com/acme/p{number}.git"}


def test_whoever_is_asked(three: Three, daemon: DaemonProcess) -> None:
    """What an admin queues at one process ends the beat that another one holds, and every process then says applied."""
    host = host_of(three, daemon)
    holder = three.holder()
    other = next(process for process in three.processes if process is not holder)
    mutation = other.enqueue(three.org.admin, host, "project.add", project(0))
    applied(three, mutation)
    assert b"[projects.p0]" in daemon.file.read_bytes()
    statuses = [
        process.mutation(three.org.admin, host, str(mutation["id"]))["status"] for process in three.processes
    ]
    assert statuses == ["applied"] * 3


def test_the_operators_verbs(three: Three, daemon: DaemonProcess) -> None:
    """Verbs for keys, hosts and work do beside three processes what they do beside one, and all of them know at once."""
    host, first = host_of(three, daemon), three.processes[0]
    listed = first.operated("host", "list")["hosts"]
    assert isinstance(listed, list)
    assert host in [one["workerHostId"] for one in listed if isinstance(one, dict)]
    three.holder()
    first.operated("host", "status", host, "pool_draining")
    eventually(lambda: daemon.status()["hostStatus"] == {"status": "pool_draining"})
    first.operated("host", "status", host, "ok")
    eventually(lambda: daemon.status()["hostStatus"] == {"status": "ok"})
    session = first.operated("work", "enqueue", "--org", three.org.name, "--project", "nobody-has-it")
    token = str(first.operated("work", "token", str(session["sessionId"]))["token"])
    for process in three.processes:
        detail = process.call("GET", f"/api/daemon/sessions/{session['sessionId']}", token)
        assert (detail.status, detail.body["platformUrl"]) == (200, three.front.url)
    first.operated("work", "stop", str(session["sessionId"]))


def test_a_revoked_key_is_refused_by_all_at_once(three: Three) -> None:
    """A key that was good at every process is good at none from the moment the verb has returned."""
    made = three.processes[0].operated("key", "create", "--org", three.org.name, "--role", "member")
    statuses = [process.call("GET", "/api/daemon/hosts", str(made["key"])).status for process in three.processes]
    assert statuses == [200, 200, 200]
    three.processes[1].operated("key", "revoke", str(made["id"]))
    statuses = [process.call("GET", "/api/daemon/hosts", str(made["key"])).status for process in three.processes]
    assert statuses == [401, 401, 401]
    assert three.client.call("GET", "/api/daemon/hosts", str(made["key"])).status == 401


def test_the_signing_key_is_one(three: Three) -> None:
    """A token of one process is good at all of them, also after the signing key was rotated, and so are new ones."""
    worker = three.processes[0].register(three.org.worker, "signed")
    three.processes[1].operated("key", "rotate-signing")
    newer = three.processes[2].register(three.org.worker, "signed-later")
    for process in three.processes:
        assert [process.beat(worker).status, process.beat(newer).status] == [200, 200]


@dataclass
class Traffic:
    """Clients that go on whatever happens, and what they were told: (host, mutation) that were queued, and acked.

    `unanswered` are requests of which nobody knows what has become: the connection broke, or the proxy said that it did.
    """

    three: Three
    queued: list[tuple[str, str]] = field(default_factory=list)
    acked: list[tuple[str, str]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def drive(self, worker: TestWorker) -> None:
        """Queue, beat, ack, until it is over."""
        acks, number = list[Json](), 0
        while not self.over.is_set():
            number += 1
            order: Json = {"workerHostId": worker.host_id, "op": "project.add", "params": project(number)}
            if queued := self._ask("POST", "/api/daemon/mutations", self.three.org.admin, order):
                self.queued.append((worker.host_id, str(queued.object_of("mutation")["id"])))
            beat: Json = {"activeCount": 0, "maxSessions": 1, "seq": number, "appliedMutations": acks}
            path = f"/api/workers/{worker.worker_id}/heartbeat"
            if beaten := self._ask("POST", path, worker.token, beat):
                self.acked.extend((worker.host_id, str(ack)) for ack in acks)
                acks = [mutation["id"] for mutation in beaten.list_of("pendingMutations")]

    def _ask(self, method: str, path: str, bearer: str, body: Json) -> Answer | None:
        try:
            answer = self.three.client.call(method, path, bearer, body)
        except httpx.TransportError as error:
            self.unanswered.append(f"{method} {path}: {error!r}")
            return None
        if answer.status == 502:
            self.unanswered.append(f"{method} {path}: {answer.text}")
            return None
        assert answer.status in (200, 201), answer.text
        return answer

    def more(self, least: int = 30) -> None:
        """Wait for so many that were queued, and acked, from now on."""
        queued, acked = len(self.queued) + least, len(self.acked) + least
        eventually(lambda: len(self.queued) >= queued and len(self.acked) >= acked)


@contextmanager
def traffic_on(three: Three, name: str) -> Iterator[Traffic]:
    """Traffic for as long as the block lasts; whatever was acknowledged is there afterwards, and no other thing."""
    traffic = Traffic(three)
    workers = [three.client.register(three.org.worker, f"{name}-{n}") for n in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(traffic.drive, worker) for worker in workers]
        try:
            traffic.more()
            yield traffic
            traffic.more()
        finally:
            traffic.over.set()
        for each in running:
            each.result(PATIENCE)
    there = 0
    for worker in workers:
        listed = {str(m["id"]): m["status"] for m in three.client.mutations(three.org.admin, worker.host_id)}
        there += len(listed)
        assert {mutation for host, mutation in traffic.queued if host == worker.host_id} <= set(listed)
        acked = [listed[mutation] for host, mutation in traffic.acked if host == worker.host_id]
        assert set(acked) <= {"applied"}
    assert there - len(traffic.queued) <= len(traffic.unanswered), "something was queued twice"


def last_error(daemon: DaemonProcess) -> Json:
    """What went wrong with the daemon's newest failed beat, None where none has failed."""
    beat = daemon.status()["heartbeat"]
    assert isinstance(beat, dict)
    return beat["lastError"]


@pytest.mark.timeout(300)
def test_a_rolling_restart(three: Three, daemon: DaemonProcess) -> None:
    """Each process is stopped and started again in mid-traffic: no request is refused, and no beat of the daemon fails."""
    host = host_of(three, daemon)
    with traffic_on(three, "rolling") as traffic:
        for number, process in enumerate(three.processes):
            three.holder()
            assert process.stop() == 0
            applied(three, three.client.enqueue(three.org.admin, host, "project.add", project(number)))
            process.start()
            traffic.more()
    # A connection that is made in the instant between the last look at the queue and the close is reset by the kernel.
    assert len(traffic.unanswered) <= 1, f"{traffic.unanswered} of {len(traffic.queued)}"
    assert last_error(daemon) is None


def test_a_process_may_die(three: Three, daemon: DaemonProcess) -> None:
    """The process that holds the daemon's beat is killed in mid-traffic: what was under way at it is all that is lost, the
    daemon goes on at another, and behind nginx it has noticed nothing."""
    host = host_of(three, daemon)
    with traffic_on(three, "dying") as traffic:
        holder = three.holder()
        holder.kill()
        applied(three, three.client.enqueue(three.org.admin, host, "project.add", project(0)))
        assert three.holder() is not holder
        traffic.more()
        holder.start()
        traffic.more()
    assert len(traffic.unanswered) <= CLIENTS
    if three.front.authority is not None:
        assert last_error(daemon) is None


def test_each_process_counts_for_itself(servers: Servers, tmp_path: Path) -> None:
    """Beyond its burst a key is refused by every process; three of them together take three times the rate."""
    with three_behind("balancer", servers, tmp_path, "--rate-limit", "0.1") as three:
        key = three.processes[0].make_key("member")
        statuses = [three.client.call("GET", "/api/daemon/hosts", key).status for _ in range(12)]
        assert (statuses.count(200), statuses.count(429)) == (3, 9)
        refused = [process.call("GET", "/api/daemon/hosts", key) for process in three.processes]
        assert [answer.status for answer in refused] == [429] * 3
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
