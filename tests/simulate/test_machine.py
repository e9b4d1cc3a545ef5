"""A simulated machine and its line, against a platform that says whatever the test wants."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support.link import Reply, ScriptedPlatform, answer, http, refreshed, registered, scripted_platform

from donmai_daemon.errors import PlatformUnreachable
from donmai_daemon.link.address import address_of
from donmai_daemon.link.answer import Answer
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.simulate.faults import Faults
from donmai_daemon.simulate.line import Line
from donmai_daemon.simulate.machine import Machine
from donmai_daemon.simulate.messages import Plan
from donmai_daemon.simulate.surroundings import Surroundings

pytestmark = pytest.mark.anyio

BEAT = "POST /api/workers/wkr_1/heartbeat HTTP/1.1"
REGISTER = "POST /api/workers/register HTTP/1.1"
REFRESH = "POST /api/workers/wkr_1/refresh-token HTTP/1.1"
MUTATION: JsonObject = {
    "id": "mut_1",
    "op": "project.add",
    "params": {"id": "alpha", "repository": "https://github.com/acme/alpha.git"},
}


def accepted(*mutations: Json, **more: Json) -> Reply:
    return answer({"acknowledged": True, "pendingMutations": list(mutations), **more})


@pytest.fixture
async def platform() -> AsyncIterator[ScriptedPlatform]:
    async with scripted_platform() as platform:
        yield platform


def around(platform: ScriptedPlatform, faults: Faults = Faults()) -> Surroundings:  # noqa: B008 - frozen
    return Surroundings(address_of(PlatformLink(url=platform.url), {}), faults)


def line(surroundings: Surroundings) -> Line:
    return Line(surroundings, random.Random(1))


async def ask(on: Line, deadline: float = 5.0) -> Answer:
    return await on.request("POST", "/x", headers={"A": "b"}, body=b"{}", deadline=deadline)


# The line


async def test_one_connection(platform: ScriptedPlatform) -> None:
    """Requests follow one another on one connection, each counted and with the headers of the daemon's client."""
    here = around(platform)
    platform.will(answer({"n": 1}), answer({"n": 2}, headers={"Retry-After": "7"}))
    async with line(here) as on:
        assert [(await ask(on)).body, (await ask(on)).retry_after] == [b'{"n": 1}', 7.0]
    assert platform.connections == 1
    assert sum(here.tally.sent.values()) == 2
    headers = platform.heard[0].headers
    assert (headers["a"], headers["content-length"], headers["accept-encoding"]) == ("b", "2", "identity")
    assert headers["user-agent"].startswith("donmai-daemon/")
    await platform.hung_up()


async def test_closed_in_between(platform: ScriptedPlatform) -> None:
    """A connection that the platform closed is replaced by the next request."""
    platform.will(Reply(http(200, b"{}"), "close"), answer({}))
    async with line(around(platform)) as on:
        await ask(on)
        await platform.hung_up()
        assert (await ask(on)).success
    assert platform.connections == 2


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_no_whole_answer(platform: ScriptedPlatform, end: str) -> None:
    """A connection that ends before the answer is a failed request; one that ends within it is an answer with a problem."""
    here = around(platform)
    ends: dict[str, Reply] = {"close": Reply(b"", "close"), "reset": Reply(b"", "reset")}
    platform.will(ends[end], Reply(http(200, b"{}")[:-1], "close"))
    async with line(here) as on:
        with pytest.raises(PlatformUnreachable):
            await ask(on)
        assert (await ask(on)).problem == "was cut short"
    assert here.tally.failures == {"connection lost": 1}


async def test_late_answer(platform: ScriptedPlatform) -> None:
    """The answer to a request that was given up is not taken for that of the next."""
    here, release = around(platform), anyio.Event()
    platform.will(answer({"n": 1}, release=release), answer({"n": 2}))
    async with line(here) as on:
        with pytest.raises(PlatformUnreachable):
            await ask(on, deadline=0.05)
        release.set()
        assert (await ask(on)).body == b'{"n": 2}'
    assert here.tally.failures == {"no answer in time": 1}


@pytest.mark.parametrize(("faults", "requests"), [(Faults(lost=0.5), 1), (Faults(lost=1.0), 1)])
async def test_lost_answers(platform: ScriptedPlatform, faults: Faults, requests: int) -> None:
    """An answer that is lost on purpose was sent for, is never seen, and is no failure of the platform's."""
    here = around(platform, faults)
    platform.will(answer({}))
    async with Line(here, random.Random(2)) as on:  # its first draw is above 0.9
        if faults.lost < 1:
            assert (await ask(on)).success
        else:
            with pytest.raises(PlatformUnreachable):
                await ask(on)
        await platform.requests(requests)
    assert (here.tally.lost, here.tally.failures) == (int(faults.lost), {})


async def test_repeated_requests(platform: ScriptedPlatform) -> None:
    """A request that is repeated arrives twice, and the second answer counts."""
    here = around(platform, Faults(repeated=1.0))
    platform.will(answer({"n": 1}), answer({"n": 2}))
    async with line(here) as on:
        assert (await ask(on)).body == b'{"n": 2}'
    assert platform.heard[0] == platform.heard[1]
    assert here.tally.repeated == 1


async def test_cut_off(platform: ScriptedPlatform) -> None:
    """Without a network nothing leaves, and every attempt is counted."""
    here = around(platform)
    here.cut = True
    async with line(here) as on:
        with pytest.raises(PlatformUnreachable):
            await ask(on)
        here.cut = False
        platform.will(answer({}))
        assert (await ask(on)).success
    assert (sum(here.tally.missed.values()), len(platform.heard)) == (1, 1)


# The machine


@asynccontextmanager
async def living(platform: ScriptedPlatform, here: Surroundings, *, held: bool = False) -> AsyncIterator[Machine]:
    """A machine that has joined and lives, an interval of one second in its plan."""
    plan = Plan(platform.url, 3, 1, 7, 1.0, held, here.faults)
    machine = Machine(3, plan, here, Secret("rsk_live_0"))
    platform.script.appendleft(answer(registered(workerHostId="host_1", heartbeatInterval=1000)))
    assert await machine.join() == "host_1"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(machine.live)
        yield machine
        tasks.cancel_scope.cancel()


def bodies(platform: ScriptedPlatform) -> list[JsonObject]:
    """Of the beats."""
    read = [heard.json() for heard in platform.heard if heard.line == BEAT]
    return [body for body in read if isinstance(body, dict)]


async def test_report_once(platform: ScriptedPlatform) -> None:
    """The full report goes with each beat until one was accepted, then its hash alone; `seq` counts up."""
    platform.will(answer({"error": "busy"}, 503), accepted(), accepted())
    async with living(platform, around(platform)):
        await platform.requests(4)
    assert platform.lines == [REGISTER, BEAT, BEAT, BEAT]
    first, second, third = bodies(platform)
    assert [("allowlist" in body) for body in (first, second, third)] == [True, True, False]
    assert len({str(body["allowlistHash"]) for body in (first, second, third)}) == 1
    assert int(str(first["seq"])) + 2 == int(str(second["seq"])) + 1 == third["seq"]


async def test_ack_at_once(platform: ScriptedPlatform) -> None:
    """A mutation is applied once and acked by a beat that does not wait; it changes what the machine reports."""
    here = around(platform)
    platform.will(accepted(MUTATION), accepted(MUTATION), accepted())
    async with living(platform, here):
        await platform.requests(4)
    first, second, third = bodies(platform)
    assert "appliedMutations" not in first
    assert second["appliedMutations"] == ["mut_1"]
    assert second["enabledProjectIds"] == ["alpha", "hello"]
    assert third["appliedMutations"] == ["mut_1"]  # it was sent once more after that ack, and is told so again
    assert [effect[1] for effect in here.tally.applied] == [3]
    assert here.tally.after_ack == 1


async def test_refuse_what_cannot_be(platform: ScriptedPlatform) -> None:
    """A mutation that no daemon could apply is acked as failed, and has no effect."""
    here = around(platform)
    platform.will(accepted({**MUTATION, "op": "session.wake"}), accepted())
    async with living(platform, here):
        await platform.requests(3)
    assert bodies(platform)[1]["mutationFailures"] == [
        {"id": "mut_1", "error": 'unsupported mutation op "session.wake" (upgrade daemon?)'}
    ]
    assert here.tally.applied == []


async def test_refresh_before_registering(platform: ScriptedPlatform) -> None:
    """A beat that is answered 401 is no reason to register: the token is refreshed, and the worker stays."""
    platform.will(answer({"error": "who?"}, 401), answer(refreshed("rt_2")), accepted())
    async with living(platform, around(platform)):
        await platform.requests(4)
    assert platform.lines == [REGISTER, BEAT, REFRESH, BEAT]
    assert platform.heard[3].headers["authorization"] == "Bearer rt_2"


async def test_restart(platform: ScriptedPlatform) -> None:
    """A daemon that starts again is the same worker, and acks what it had not acked, at once."""
    here = around(platform, Faults(restarts=1.0))
    platform.will(accepted(MUTATION), accepted())
    async with living(platform, here):
        await platform.requests(3)
        await anyio.wait_all_tasks_blocked()
    assert platform.lines == [REGISTER, BEAT, BEAT]
    assert bodies(platform)[1]["appliedMutations"] == ["mut_1"]
    assert here.tally.restarts >= 1
    assert len(here.tally.applied) == 1


async def test_switched_off(platform: ScriptedPlatform) -> None:
    """A machine that is switched off hangs up and sends nothing; switched on again it is the same worker."""
    platform.will(accepted(), accepted())
    async with living(platform, around(platform)) as machine:
        await platform.requests(2)
        await anyio.wait_all_tasks_blocked()
        machine.pause()
        await platform.hung_up()
        machine.resume()
        await platform.requests(3)
    assert platform.lines == [REGISTER, BEAT, BEAT]


@pytest.mark.parametrize("held", [True, False])
async def test_held_beats(platform: ScriptedPlatform, held: bool) -> None:
    """A platform's offer to hold beats is taken up exactly where that is wanted."""
    platform.will(accepted(heldBeats=True), accepted(heldBeats=True))
    async with living(platform, around(platform), held=held):
        await platform.requests(3)
    assert ("prefer" in platform.heard[2].headers) is held
