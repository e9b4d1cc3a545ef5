"""The identity against a scripted platform: every row of the table of 401 and 404, and time."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock
from tests.support.link import (
    RecordedConditions,
    Reply,
    ScriptedPlatform,
    answer,
    client_of,
    http,
    refreshed,
    registered,
    scripted_platform,
)

from donmai_daemon.clock import rfc3339
from donmai_daemon.errors import (
    ConfigInvalid,
    DonmaiError,
    PlatformAnswerInvalid,
    PlatformRefused,
    PlatformUnreachable,
    RegistrationTokenMissing,
)
from donmai_daemon.link.address import address_of
from donmai_daemon.link.client import PlatformClient
from donmai_daemon.link.credentials import Credentials, CredentialsCache
from donmai_daemon.link.identity import Identity
from donmai_daemon.link.transport import Transport
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.registration import HostInfo, Registered, Registration
from donmai_daemon.model.secret import Secret
from donmai_daemon.store.atomic import write_private

pytestmark = pytest.mark.anyio

REGISTER = "POST /api/workers/register HTTP/1.1"
REFRESH = "POST /api/workers/wkr_1/refresh-token HTTP/1.1"


class Halves(random.Random):
    """Jitter of exactly one half, so that schedules can be computed."""

    def random(self) -> float:
        return 0.5


@dataclass
class Machine:
    """Everything of one machine that outlives its daemon, and what the tests look at."""

    platform: ScriptedPlatform
    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    conditions: RecordedConditions = field(default_factory=RecordedConditions)
    token: Secret | DonmaiError | None = field(default_factory=lambda: Secret("rsk_live_1"))
    machine_id: str = "machine-1"
    changes: int = 0

    @property
    def file(self) -> Path:
        return self.directory / "credentials.json"

    def read_token(self) -> Secret | None:
        if isinstance(self.token, DonmaiError):
            raise self.token
        return self.token

    def registration(self) -> Registration:
        host = HostInfo("linux", "amd64", "1.2.3", "2026-11-24T06:00:00.000Z")
        return Registration("box", 0, "1.2.3", self.machine_id, host, AdmissionReport("enumerated", (), ()))

    def changed(self) -> None:
        self.changes += 1

    def start(self, client: PlatformClient) -> Identity:
        """A daemon's identity, as after a start."""
        return Identity(
            client=client,
            cache=CredentialsCache(self.file, write_private),
            machine_id=self.machine_id,
            registration=self.registration,
            registration_token=self.read_token,
            conditions=self.conditions,
            clock=self.clock,
            rng=Halves(),
            on_change=self.changed,
        )


@pytest.fixture
async def platform() -> AsyncIterator[ScriptedPlatform]:
    async with scripted_platform() as platform:
        yield platform


@pytest.fixture
def machine(platform: ScriptedPlatform, tmp_path: Path) -> Machine:
    return Machine(platform, tmp_path)


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[PlatformClient]:
    async with client_of(machine.platform, machine.clock) as client:
        yield client


@pytest.fixture
def identity(machine: Machine, client: PlatformClient) -> Identity:
    return machine.start(client)


def expires(machine: Machine, seconds: float) -> dict[str, Json]:
    return {"runtimeTokenExpiresAt": rfc3339(machine.clock.now() + timedelta(seconds=seconds))}


def jwt(expiry: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "wkr_1", "exp": expiry}).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2ln"


async def refusal(identity: Identity, stale: Credentials | None = None) -> PlatformRefused:
    with pytest.raises(PlatformRefused) as refused:
        await (identity.current() if stale is None else identity.renew(stale))
    return refused.value


# First start


async def test_first_start_registers(machine: Machine, identity: Identity) -> None:
    """Without a cache the machine registers with its registration token, once, and keeps what it got."""
    machine.platform.will(answer(registered(workerHostId="wh_1", heldBeats=True, heartbeatInterval=15000)))
    credentials = await identity.current()
    assert credentials == Credentials("wkr_1", Secret("rt_1"))
    assert await identity.current() == credentials
    assert machine.platform.lines == [REGISTER]
    assert machine.platform.heard[0].headers["authorization"] == "Bearer rsk_live_1"
    assert (identity.worker_id, identity.worker_host_id, identity.held_beats) == ("wkr_1", "wh_1", True)
    assert (identity.heartbeat_interval, identity.poll_interval) == (15.0, 5.0)
    assert machine.file.stat().st_mode & 0o777 == 0o600
    assert machine.changes == 1


async def test_registration_on_the_wire(machine: Machine, identity: Identity) -> None:
    """The body of a registration is exactly this: a capacity of 0 is sent as 0 and empty sets as empty lists."""
    machine.platform.will(answer(registered()))
    await identity.current()
    assert machine.platform.heard[0].json() == {
        "hostname": "box",
        "capacity": 0,
        "version": "1.2.3",
        "machineId": "machine-1",
        "hostInfo": {
            "os": "linux",
            "arch": "amd64",
            "daemonVersion": "1.2.3",
            "startedAt": "2026-11-24T06:00:00.000Z",
        },
        "capabilities": [],
        "projectAdmissionVersion": 2,
        "projectAdmissionMode": "enumerated",
        "projectIds": [],
        "daemonProjects": [],
    }


async def test_nobody_is_registered_before_the_first_answer(identity: Identity) -> None:
    """Before the first registration there is no worker id and no interval."""
    assert (identity.worker_id, identity.worker_host_id) == (None, None)
    assert (identity.heartbeat_interval, identity.poll_interval) == (None, None)


async def test_restart_uses_the_cache(machine: Machine, client: PlatformClient) -> None:
    """The next start asks the platform nothing and knows the worker, its host and its intervals."""
    machine.platform.will(answer(registered(workerHostId="wh_1", heartbeatInterval=7000, **expires(machine, 3600))))
    before = await machine.start(client).current()
    again = machine.start(client)
    assert await again.current() == before
    assert (again.worker_host_id, again.heartbeat_interval, again.poll_interval) == ("wh_1", 7.0, 5.0)
    assert len(machine.platform.heard) == 1
    assert machine.changes == 2


async def test_restart_with_an_expired_token_refreshes(machine: Machine, client: PlatformClient) -> None:
    """A kept token that has run out is refreshed for the same worker, and never sent in a beat before."""
    machine.platform.will(answer(registered(**expires(machine, 3600))), answer(refreshed("rt_2")))
    await machine.start(client).current()
    machine.clock.step(3600)
    assert await machine.start(client).current() == Credentials("wkr_1", Secret("rt_2"))
    assert machine.platform.lines == [REGISTER, REFRESH]


@pytest.mark.parametrize("other", ["token", "machine", "platform"])
async def test_credentials_of_something_else_are_not_used(
    machine: Machine, client: PlatformClient, other: str
) -> None:
    """Another registration token, machine id or platform than the cache was made for means registering."""
    machine.platform.will(answer(registered()), answer(registered("wkr_2", "rt_2")))
    await machine.start(client).current()
    if other == "token":
        machine.token = Secret("rsk_live_2")
    if other == "machine":
        machine.machine_id = "machine-2"
    if other == "platform":
        content = machine.file.read_text().replace(machine.platform.url, "https://elsewhere.example")
        machine.file.write_text(content)
    assert (await machine.start(client).current()).worker_id == "wkr_2"
    assert machine.platform.lines == [REGISTER, REGISTER]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"version": 2}', b"x" * 100_000, b"[" * 60_000],
)
async def test_a_corrupt_cache_means_register(machine: Machine, identity: Identity, content: bytes) -> None:
    """A cache that makes no sense is said so in the log and replaced by a registration."""
    machine.file.write_bytes(content)
    machine.platform.will(answer(registered()))
    with capture_logs() as logs:
        await identity.current()
    assert "credentials.corrupt" in [entry["event"] for entry in logs]
    assert json.loads(machine.file.read_bytes())["workerId"] == "wkr_1"


@pytest.mark.parametrize(
    ("name", "value"),
    [("workerId", ""), ("workerId", 5), ("runtimeToken", "a b"), ("runtimeToken", None), ("issuedAt", "yesterday")],
)
async def test_a_cache_with_one_bad_field_means_register(
    machine: Machine, client: PlatformClient, name: str, value: Json
) -> None:
    """Half a set of credentials is none."""
    machine.platform.will(answer(registered()), answer(registered("wkr_2", "rt_2")))
    await machine.start(client).current()
    machine.file.write_text(json.dumps({**json.loads(machine.file.read_text()), name: value}))
    assert (await machine.start(client).current()).worker_id == "wkr_2"


async def test_odd_intervals_in_the_cache_are_left_out(machine: Machine, client: PlatformClient) -> None:
    """An interval in the cache that is no positive number is as none, and a huge one is an hour."""
    machine.platform.will(answer(registered()))
    before = await machine.start(client).current()
    odd = {"heartbeatIntervalSeconds": True, "pollIntervalSeconds": 10**400}
    machine.file.write_text(json.dumps({**json.loads(machine.file.read_text()), **odd}))
    identity = machine.start(client)
    assert await identity.current() == before
    assert (identity.heartbeat_interval, identity.poll_interval) == (None, 3600.0)


async def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    machine: Machine, client: PlatformClient
) -> None:
    """With a state directory that is gone the daemon runs on what it got, and says so in the log."""
    machine.directory = machine.directory / "gone"
    machine.platform.will(answer(registered()))
    with capture_logs() as logs:
        assert (await machine.start(client).current()).worker_id == "wkr_1"
    assert [entry["event"] for entry in logs] == ["identity.not_kept", "identity.registered"]


async def test_no_registration_token(machine: Machine, identity: Identity) -> None:
    """Without a token nothing is sent, the condition says what is missing, and a token that comes later is used."""
    machine.token = None
    with pytest.raises(RegistrationTokenMissing):
        await identity.current()
    assert machine.conditions.current["credentials_rejected"] == ("error", "there is no registration token")
    assert machine.platform.connections == 0
    machine.token = Secret("rsk_live_1")
    machine.platform.will(answer(registered()))
    await identity.current()
    assert machine.conditions.current == {}


async def test_a_bad_token_file(machine: Machine, identity: Identity) -> None:
    """A token file that cannot be read is named in the condition, and nothing is sent."""
    machine.token = ConfigInvalid("cannot be read: Permission denied", key="platform.token_file")
    with pytest.raises(ConfigInvalid):
        await identity.current()
    assert "platform.token_file" in machine.conditions.current["credentials_rejected"][1]
    assert machine.platform.connections == 0


# The table


async def test_refresh_200_keeps_the_identity(machine: Machine, identity: Identity) -> None:
    """A refresh gives the same worker a new token, and what the answer does not name stays as it was."""
    machine.platform.will(
        answer(registered(workerHostId="wh_1")), answer(refreshed("rt_2", heartbeatInterval=12000))
    )
    stale = await identity.current()
    assert await identity.renew(stale) == Credentials("wkr_1", Secret("rt_2"))
    assert machine.platform.lines == [REGISTER, REFRESH]
    assert machine.platform.heard[1].headers["authorization"] == "Bearer rsk_live_1"
    assert machine.platform.heard[1].body == b"{}"
    assert (identity.worker_host_id, identity.heartbeat_interval, identity.poll_interval) == ("wh_1", 12.0, 5.0)
    kept = json.loads(machine.file.read_text())
    assert (kept["workerId"], kept["runtimeToken"], kept["heartbeatIntervalSeconds"]) == ("wkr_1", "rt_2", 12.0)
    assert machine.changes == 2


@pytest.mark.parametrize("status", [404, 405])
async def test_refresh_says_gone(machine: Machine, identity: Identity, status: int) -> None:
    """After 404 or 405 on the refresh the machine registers again, under the same machine id."""
    machine.platform.will(answer(registered()), answer({}, status), answer(registered("wkr_2", "rt_2")))
    stale = await identity.current()
    machine.clock.step(60)
    assert await identity.renew(stale) == Credentials("wkr_2", Secret("rt_2"))
    assert machine.platform.lines == [REGISTER, REFRESH, REGISTER]
    assert machine.platform.heard[0].json() == machine.platform.heard[2].json()
    assert machine.conditions.current == {}


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 408, 409, 410, 418, 429, 500, 502, 503])
async def test_refresh_says_anything_else(machine: Machine, identity: Identity, status: int) -> None:
    """Whatever else a refresh is answered with, the machine never registers: it would become a new worker each time."""
    machine.platform.will(answer(registered()), *[answer({"error": "no"}, status)] * 40)
    stale = await identity.current()
    await refusal(identity, stale)
    for _ in range(20):
        machine.clock.step(3600)
        assert (await refusal(identity)).status == status
    assert machine.platform.lines == [REGISTER] + [REFRESH] * 21
    assert identity.worker_id == "wkr_1"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"", end="close"),
        Reply(http(200, b"<html>", {"content-type": "text/html"})),
        answer({"runtimeToken": ""}),
        answer({"runtimeToken": "a\nb"}),
        answer({"token": "rt_2"}),
        answer([]),
    ],
)
async def test_refresh_without_a_usable_answer(machine: Machine, identity: Identity, reply: Reply) -> None:
    """An answer that is none changes nothing, and the next try refreshes again."""
    machine.platform.will(answer(registered()), reply, answer(refreshed("rt_2")))
    stale = await identity.current()
    with pytest.raises((PlatformUnreachable, PlatformAnswerInvalid)):
        await identity.renew(stale)
    assert await identity.current() == Credentials("wkr_1", Secret("rt_2"))
    assert machine.platform.lines == [REGISTER, REFRESH, REFRESH]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejected_refresh_is_a_condition(machine: Machine, identity: Identity, status: int) -> None:
    """A refused registration token is a condition until it is accepted again, asked ever more seldom, never a registration."""
    machine.platform.will(answer(registered()), *[answer({"error": "revoked"}, status)] * 50)
    stale = await identity.current()
    waits = [(await refusal(identity, stale)).retry_after]
    for _ in range(9):
        machine.clock.step(waits[-1] or 0.0)
        waits.append((await refusal(identity)).retry_after)
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]  # half of what doubles up to 4 intervals
    severity, message = machine.conditions.current["credentials_rejected"]
    assert severity == "error"
    assert "revoked" in message
    assert REGISTER not in machine.platform.lines[1:]
    machine.platform.script.clear()
    machine.platform.will(answer(refreshed("rt_2")))
    machine.clock.step(60)
    await identity.current()
    assert machine.conditions.current == {}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejected_registration_is_a_condition(machine: Machine, identity: Identity, status: int) -> None:
    """A refused registration is tried again later and not before, and says so meanwhile without asking the platform."""
    machine.platform.will(answer({"error": "revoked"}, status), answer(registered()))
    first = await refusal(identity)
    assert first.retry_after == 0.5
    assert "credentials_rejected" in machine.conditions.current
    machine.clock.step(0.2)
    second = await refusal(identity)
    assert (second.status, second.detail) == (status, "revoked")
    assert second.retry_after == pytest.approx(0.3)
    assert machine.platform.lines == [REGISTER]
    machine.clock.step(0.4)
    await identity.current()
    assert machine.conditions.current == {}
    assert machine.platform.lines == [REGISTER, REGISTER]


async def test_a_changed_token_is_looked_at_again(machine: Machine, identity: Identity) -> None:
    """After a rejection a new token is tried as soon as somebody says that it may be there."""
    machine.platform.will(answer({}, 401, {"retry-after": "3000"}), answer(registered()))
    assert (await refusal(identity)).retry_after == 3000.5
    machine.token = Secret("rsk_live_2")
    identity.look_again()
    assert (await identity.current()).worker_id == "wkr_1"
    assert machine.platform.heard[1].headers["authorization"] == "Bearer rsk_live_2"


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_on_registration_is_kept(machine: Machine, identity: Identity, status: int) -> None:
    """A platform that names a time is left alone until then, and a 5xx without one is left to the caller's backoff."""
    machine.platform.will(
        answer({}, status, {"retry-after": "20"}), answer({}, 500), answer({}, 500), answer(registered())
    )
    assert (await refusal(identity)).retry_after == 20
    machine.clock.step(19)
    assert (await refusal(identity)).retry_after == 1
    assert len(machine.platform.heard) == 1
    machine.clock.step(1)
    assert (await refusal(identity)).retry_after is None
    assert (await refusal(identity)).status == 500
    await identity.current()
    assert machine.conditions.current == {}


# The floor


async def test_registering_again_waits_for_the_floor(machine: Machine, identity: Identity) -> None:
    """A worker that is gone 20 s after its registration is registered again at 60 s, and nobody registers before."""
    machine.platform.will(
        answer(registered()), *[answer({"error": "unknown worker"}, 404)] * 2, answer(registered("wkr_2"))
    )
    stale = await identity.current()
    machine.clock.step(20)
    held = await refusal(identity, stale)
    assert (held.status, held.retry_after) == (404, 40)
    machine.clock.step(39)
    assert (await refusal(identity)).retry_after == 1
    assert machine.platform.lines == [REGISTER, REFRESH]
    machine.clock.step(1)
    assert (await identity.current()).worker_id == "wkr_2"


async def test_each_further_time_within_an_hour_doubles_the_floor(machine: Machine, identity: Identity) -> None:
    """A machine that loses its worker again and again registers at 60 s, 60, 120, 240, … and reports a conflict from the second time on."""
    credentials = await _registered(machine, identity)
    distances: list[float] = []
    conflicts = []
    for count in range(2, 8):
        machine.platform.will(answer({}, 404))
        distances.append((await refusal(identity, credentials)).retry_after or 0.0)
        machine.clock.step(distances[-1])
        machine.platform.will(answer({}, 404), answer(registered(f"wkr_{count}", f"rt_{count}")))
        credentials = await identity.current()
        assert credentials.worker_id == f"wkr_{count}"
        conflicts.append("machine_id_conflict" in machine.conditions.current)
    assert distances == [60, 60, 120, 240, 480, 960]
    assert conflicts == [False, True, True, True, True, True]
    assert machine.platform.lines.count(REGISTER) == 7


async def test_a_failed_try_counts_for_the_floor_and_not_for_the_conflict(
    machine: Machine, identity: Identity
) -> None:
    """A registration whose answer was lost may have made a worker: the next waits 60 s, and is no conflict."""
    stale = await _registered(machine, identity)
    machine.clock.step(60)
    machine.platform.will(answer({}, 404), Reply(b"", end="close"), answer({}, 404))
    with pytest.raises(PlatformUnreachable):
        await identity.renew(stale)
    assert (await refusal(identity)).retry_after == 60
    machine.clock.step(60)
    machine.platform.will(answer({}, 404), answer(registered("wkr_2")))
    assert (await identity.current()).worker_id == "wkr_2"
    assert machine.conditions.current == {}


async def test_a_conflict_ends_after_an_hour(machine: Machine, identity: Identity) -> None:
    """The condition goes when the machine has not been registered anew twice within the last hour."""
    stale = await _registered(machine, identity)
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        for worker in ("wkr_2", "wkr_3"):
            await machine.clock.advance(60)
            machine.platform.will(answer({}, 404), answer(registered(worker, worker)))
            stale = await identity.renew(stale)
        assert "machine_id_conflict" in machine.conditions.current
        await machine.clock.sleepers()
        await machine.clock.advance(3539)
        assert "machine_id_conflict" in machine.conditions.current
        await machine.clock.advance(1)
        assert machine.conditions.current == {}
        group.cancel_scope.cancel()


async def _registered(machine: Machine, identity: Identity) -> Credentials:
    machine.platform.will(answer(registered()))
    return await identity.current()


# One attempt for everybody


async def test_single_flight_on_first_start(machine: Machine, identity: Identity) -> None:
    """Twenty tasks that need credentials at once cause one registration."""
    release = anyio.Event()
    machine.platform.will(answer(registered(), release=release))
    found = await _all_at_once(machine, identity, [None] * 20, release, requests=1)
    assert found == [Credentials("wkr_1", Secret("rt_1"))] * 20
    assert machine.platform.lines == [REGISTER]


async def test_single_flight_on_renewal(machine: Machine, identity: Identity) -> None:
    """Twenty tasks whose token was refused cause one refresh, and one that comes late with the old token gets the new one."""
    stale = await _registered(machine, identity)
    release = anyio.Event()
    machine.platform.will(answer(refreshed("rt_2"), release=release))
    wanted: list[Credentials | None] = [stale, None] * 10
    found = await _all_at_once(machine, identity, wanted, release, requests=2)
    assert found == [Credentials("wkr_1", Secret("rt_2"))] * 20
    assert await identity.renew(stale) == found[0]
    assert machine.platform.lines == [REGISTER, REFRESH]


async def test_single_flight_where_the_token_stays_the_same(machine: Machine, identity: Identity) -> None:
    """A platform with one fixed token answers everybody who waits with one refresh."""
    stale = await _registered(machine, identity)
    release = anyio.Event()
    machine.platform.will(answer(refreshed("rt_1"), release=release))
    assert await _all_at_once(machine, identity, [stale] * 5, release, requests=2) == [stale] * 5
    assert machine.platform.lines == [REGISTER, REFRESH]


async def test_a_failure_is_shared_too(machine: Machine, identity: Identity) -> None:
    """Twenty tasks share one failed refresh instead of each asking again."""
    stale = await _registered(machine, identity)
    release = anyio.Event()
    machine.platform.will(replace(answer({}, 500), release=release))
    found = await _all_at_once(machine, identity, [stale] * 20, release, requests=2)
    assert [type(result) for result in found] == [PlatformRefused] * 20
    assert machine.platform.lines == [REGISTER, REFRESH]


async def test_a_cancelled_attempt_is_taken_over(machine: Machine, identity: Identity) -> None:
    """When the task that asks is cancelled, one of those that wait asks in its place."""
    release = anyio.Event()
    machine.platform.will(Reply(b"", end="stall"), answer(registered(), release=release))
    found: list[Credentials] = []

    async def ask() -> None:
        found.append(await identity.current())

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(ask)
                await machine.platform.requests(1)
                for _ in range(3):
                    group.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        await machine.platform.requests(2)
        release.set()
    assert found == [Credentials("wkr_1", Secret("rt_1"))] * 3
    assert machine.platform.lines == [REGISTER] * 2


class CancelledByItsAnswer(PlatformClient):
    """Cancels `scope` at the very moment a registration is answered."""

    scope: anyio.CancelScope

    async def register(self, token: Secret, registration: Registration) -> Registered:
        answer = await super().register(token, registration)
        self.scope.cancel()
        return answer


async def test_what_was_answered_is_kept_though_cancelled(machine: Machine) -> None:
    """A task that is cancelled between the answer and the disk still keeps the worker it became: no second one is made."""
    machine.platform.will(answer(registered()))
    address = address_of(PlatformLink(url=machine.platform.url), {})
    async with CancelledByItsAnswer(Transport(address, machine.clock, "donmai-daemon/1.2.3"), {}) as client:
        identity = machine.start(client)
        client.scope = anyio.CancelScope()
        with client.scope:
            await identity.current()
            await anyio.sleep_forever()
        assert identity.worker_id == "wkr_1"
        assert json.loads(machine.file.read_text())["workerId"] == "wkr_1"
        await identity.current()
    assert machine.platform.lines == [REGISTER]


async def _all_at_once(
    machine: Machine,
    identity: Identity,
    stales: list[Credentials | None],
    release: anyio.Event,
    *,
    requests: int,
) -> list[Credentials | DonmaiError]:
    found: list[Credentials | DonmaiError] = []

    async def ask(stale: Credentials | None) -> None:
        try:
            found.append(await (identity.current() if stale is None else identity.renew(stale)))
        except DonmaiError as error:
            found.append(error)

    async with anyio.create_task_group() as group:
        for stale in stales:
            group.start_soon(ask, stale)
        await machine.platform.requests(requests)
        await anyio.wait_all_tasks_blocked()
        release.set()
    return found


# Ahead of the expiry


@pytest.mark.parametrize(
    ("lifetime", "due"),
    [
        (3600.0, 3600 - 300 - 90),  # 5 min ahead, and half of the jitter of 5 %
        (86_400.0, 86_400 - 300 - 90),  # the jitter is 3 minutes at most
        (1500.0, 1500 - 300 - 37.5),
        (1499.0, 1499 * 0.8 - 1499 * 0.025),
        (60.0, 48 - 1.5),
        (4.0, 3.2 - 0.1),
        (0.5, 1.0),
    ],
)
@pytest.mark.parametrize("kind", ["field", "jwt"])
async def test_refresh_ahead_of_the_expiry(
    machine: Machine, identity: Identity, lifetime: float, due: float, kind: str
) -> None:
    """A token is refreshed 5 minutes before it expires, at 80 % of a short life, a little earlier by chance, and only once."""

    def token(name: str) -> JsonObject:
        if kind == "jwt":
            return registered("wkr_1", jwt((machine.clock.now() + timedelta(seconds=lifetime)).timestamp()))
        return registered("wkr_1", name, **expires(machine, lifetime))

    machine.platform.will(answer(token("rt_1")))
    first = await identity.current()
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.sleepers()
        assert machine.clock.next_wake == pytest.approx(due)
        await machine.clock.advance(due - 0.01)
        assert len(machine.platform.heard) == 1
        machine.clock.step(0.01)
        machine.platform.will(
            answer({**token("rt_2"), "runtimeTokenExpiresAt": None, **expires(machine, lifetime)})
        )
        await machine.platform.requests(2)
        await machine.clock.sleepers()
        assert machine.clock.next_wake == pytest.approx(due)
        group.cancel_scope.cancel()
    assert machine.platform.lines == [REGISTER, REFRESH]
    assert await identity.current() != first or kind == "jwt"


async def test_a_reactive_refresh_moves_the_proactive_one(machine: Machine, identity: Identity) -> None:
    """After a refresh for a 401 the next one is counted from the new token, not from the old."""
    machine.platform.will(answer(registered(**expires(machine, 3600))))
    stale = await identity.current()
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.sleepers()
        await machine.clock.advance(3000)
        machine.platform.will(answer(refreshed("rt_2", **expires(machine, 3600))))
        await identity.renew(stale)
        await anyio.wait_all_tasks_blocked()
        assert machine.clock.next_wake == pytest.approx(3210)
        await machine.clock.advance(3000)
        assert machine.platform.lines == [REGISTER, REFRESH]
        group.cancel_scope.cancel()


async def test_old_credentials_serve_while_the_new_ones_are_fetched(machine: Machine, identity: Identity) -> None:
    """A refresh ahead of time does not hold up the beats: the token is still good."""
    machine.platform.will(answer(registered(**expires(machine, 3600))))
    first = await identity.current()
    release = anyio.Event()
    machine.platform.will(answer(refreshed("rt_2"), release=release))
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.sleepers()
        machine.clock.step(3300)
        await machine.platform.requests(2)
        assert await identity.current() == first
        release.set()
        group.cancel_scope.cancel()


async def test_a_failed_refresh_ahead_of_time_is_tried_again(machine: Machine, identity: Identity) -> None:
    """Until the token runs out there is time: failures are repeated with a backoff, and the old token serves meanwhile."""
    machine.platform.will(answer(registered(**expires(machine, 3600))))
    first = await identity.current()
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.sleepers()
        waits = []
        for _ in range(4):
            machine.platform.will(Reply(b"", end="close"))
            heard = len(machine.platform.heard)
            machine.clock.step(machine.clock.next_wake or 0.0)
            await machine.platform.requests(heard + 1)
            await machine.clock.sleepers()
            waits.append(machine.clock.next_wake)
            assert await identity.current() == first
        assert waits == pytest.approx([0.5, 1, 2, 4])
        machine.platform.will(answer(refreshed("rt_2", **expires(machine, 3600))), Reply(b"", end="close"))
        machine.clock.step(4)
        await machine.platform.requests(6)
        await machine.clock.sleepers()
        machine.clock.step(3300)
        await machine.platform.requests(7)
        await machine.clock.sleepers()
        assert machine.clock.next_wake == pytest.approx(0.5)  # the next failure is the first again
        group.cancel_scope.cancel()
    assert machine.platform.lines == [REGISTER] + [REFRESH] * 6


async def test_gone_ahead_of_time_waits_with_a_good_token(machine: Machine, identity: Identity) -> None:
    """A refresh ahead of time that says gone within the floor neither registers nor stops the beats."""
    machine.platform.will(answer(registered(**expires(machine, 60))), answer({}, 404))
    first = await identity.current()
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.sleepers()
        machine.clock.step(46.5)
        await machine.platform.requests(2)
        await machine.clock.sleepers()
        assert machine.clock.next_wake == pytest.approx(60 - 46.5 + 0.5)
        assert await identity.current() == first
        machine.platform.will(answer({}, 404), answer(registered("wkr_2", "rt_2")))
        machine.clock.step(14)
        await machine.platform.requests(4)
        group.cancel_scope.cancel()
    assert machine.platform.lines == [REGISTER, REFRESH, REFRESH, REGISTER]


async def test_a_token_without_an_expiry_is_left_alone(machine: Machine, identity: Identity) -> None:
    """An opaque token whose end nobody names is refreshed when it is refused, and not before."""
    await _registered(machine, identity)
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.advance(1_000_000)
        assert machine.clock.next_wake is None
        group.cancel_scope.cancel()
    assert machine.platform.lines == [REGISTER]


async def test_a_wrong_clock_does_not_refresh_in_circles(machine: Machine, identity: Identity) -> None:
    """A token that by our clock arrived expired is used until it is refused."""
    machine.platform.will(answer(registered(**expires(machine, -7200))))
    first = await identity.current()
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.advance(3600)
        group.cancel_scope.cancel()
    assert await identity.current() == first
    assert machine.platform.lines == [REGISTER]


async def test_a_new_token_is_tried_out_at_once(machine: Machine, identity: Identity) -> None:
    """When a reload brings another registration token, the machine registers with it and does not wait for the expiry."""
    machine.platform.will(answer(registered(**expires(machine, 3600))), answer(registered("wkr_2", "rt_2")))
    await identity.current()
    async with anyio.create_task_group() as group:
        group.start_soon(identity.keep_fresh)
        await machine.clock.sleepers()
        machine.token = Secret("rsk_live_2")
        identity.look_again()
        await machine.platform.requests(2)
        group.cancel_scope.cancel()
    assert machine.platform.lines == [REGISTER, REGISTER]
    assert machine.platform.heard[1].headers["authorization"] == "Bearer rsk_live_2"


# Secrets


async def test_tokens_are_in_no_text(machine: Machine, identity: Identity) -> None:
    """Neither token is in a repr, in the log, or in a condition; the file holds the registration token only as a digest."""
    machine.platform.will(
        answer(registered("wkr_1", "rt_secret")),
        answer({"error": "rsk_live_1 is revoked"}, 401),
    )
    with capture_logs() as logs:
        stale = await identity.current()
        error = await refusal(identity, stale)
    text = f"{stale!r} {stale} {logs} {machine.conditions.current} {error!r} {vars(error)} {machine.token!r} {machine.token}"
    assert "rt_secret" not in text
    assert "rsk_live_1" not in text
    assert "rsk_live_1" not in machine.file.read_text()
