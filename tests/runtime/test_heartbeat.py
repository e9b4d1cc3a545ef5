"""When beats go out, against a platform that answers with scripted bytes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.support.clock import FakeClock
from tests.support.link import Reply, ScriptedPlatform, answer, client_of, http, scripted_platform

from donmai_daemon.clock import rfc3339
from donmai_daemon.link.credentials import CredentialsCache
from donmai_daemon.link.identity import Identity
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.config import Capacity, Config, Project
from donmai_daemon.model.config import Heartbeat as HeartbeatSettings
from donmai_daemon.model.json import Json
from donmai_daemon.model.mutation import MutationRequest, Verdict
from donmai_daemon.model.registration import HostInfo, Registration
from donmai_daemon.model.secret import Secret
from donmai_daemon.model.status import Occupancy
from donmai_daemon.model.wire import Beat, BeatAnswer
from donmai_daemon.runtime.beats import BeatDesk, Received
from donmai_daemon.runtime.conditions import Conditions
from donmai_daemon.runtime.heartbeat import Heartbeat
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.live_config import LiveConfig
from donmai_daemon.runtime.load import LoadSampler
from donmai_daemon.runtime.store_thread import StoreThread
from donmai_daemon.settings import Loaded
from donmai_daemon.store.atomic import write_private
from donmai_daemon.store.journal import Journal

pytestmark = pytest.mark.anyio

REGISTERED = answer(
    {"workerId": "wkr_1", "runtimeToken": "a.b.c", "heartbeatInterval": 30000, "pollInterval": 5000}
)
REFRESHED = answer({"runtimeToken": "a.b.d", "runtimeTokenExpiresAt": "2026-11-25T06:00:00.000Z"})


def ok(**fields: Json) -> Reply:
    return answer({"acknowledged": True, **fields})


class Rig:
    """A heartbeat with everything real but time, and the platform's script."""

    def __init__(
        self, platform: ScriptedPlatform, clock: FakeClock, journal: Journal, heartbeat: Heartbeat
    ) -> None:
        self.platform = platform
        self.clock = clock
        self.journal = journal
        self.heartbeat = heartbeat
        self.answers: list[Received] = []
        self.lifecycle = Lifecycle(heartbeat.tell_now)
        self.conditions = Conditions(clock)
        self.live: LiveConfig
        self.full_disk = False

    def beats(self) -> list[dict[str, Json]]:
        """Bodies of the beats that arrived."""
        bodies = []
        for heard in self.platform.heard:
            if "/heartbeat" in heard.line:
                body = heard.json()
                assert isinstance(body, dict)
                bodies.append(body)
        return bodies

    async def until_idle(self) -> None:
        """Wait until the loop sleeps for its next beat."""
        await self.clock.sleepers(1)

    async def next_beat(self) -> None:
        """Let just the time pass that the loop sleeps."""
        await self.until_idle()
        await self.clock.advance(self.clock.next_wake or 0.0)


@asynccontextmanager
async def rig(tmp_path: Path, *replies: Reply, config: Config | None = None) -> AsyncIterator[Rig]:
    """Registered at the first beat; `replies` answer the beats (and refreshes) in order."""
    clock = FakeClock()
    rng = random.Random(7)

    def step(name: str) -> None:
        if name == "journal.accept.commit" and made.full_disk:
            raise sqlite3.OperationalError("database or disk is full")

    journal = Journal.open(tmp_path / "journal.db", clock.now(), step)
    conditions = Conditions(clock)
    live = LiveConfig(Loaded(config or Config(), (), {}), "d1", conditions)
    async with scripted_platform() as platform, client_of(platform, clock) as client:
        platform.will(REGISTERED, *replies)
        identity = Identity(
            client=client,
            cache=CredentialsCache(tmp_path / "credentials.json", write_private),
            machine_id="mch_1",
            registration=lambda: Registration(
                "host",
                8,
                "0",
                "mch_1",
                HostInfo("linux", "amd64", "0", rfc3339(clock.now())),
                AdmissionReport.of(live.config),
            ),
            registration_token=lambda: Secret("rsk_live_" + "0" * 64),
            conditions=conditions,
            clock=clock,
            rng=rng,
            on_change=lambda: None,
        )
        lifecycle = Lifecycle(lambda: heartbeat.tell_now())
        desk = BeatDesk(
            journal=journal,
            store=StoreThread(),
            lifecycle=lifecycle,
            live_config=live,
            host=HostState(None),
            conditions=conditions,
            occupancy=lambda: Occupancy(2, 1),
            load=LoadSampler(),
            clock=clock,
            last_seq=0,
            accepted=None,
        )
        answers: list[Received] = []

        def note(_answer: BeatAnswer, received: Received) -> None:
            answers.append(received)

        heartbeat = Heartbeat(
            identity=identity,
            client=client,
            desk=desk,
            clock=clock,
            rng=rng,
            conditions=conditions,
            configured_interval=lambda: live.config.heartbeat.interval_seconds,
            on_answer=note,
            first_delay=0.0,
        )
        made = Rig(platform, clock, journal, heartbeat)
        made.answers = answers
        made.lifecycle = lifecycle
        made.conditions = conditions
        made.live = live
        async with anyio.create_task_group() as group:
            lifecycle.started()
            group.start_soon(heartbeat.run)
            yield made
            group.cancel_scope.cancel()
    journal.close()


async def test_first_beat_is_a_full_report_and_the_second_only_the_hash(tmp_path: Path) -> None:
    """The full report is repeated until it was accepted, and then the hash is enough."""
    async with rig(tmp_path, http_error(), ok(), ok()) as r:
        await r.next_beat()
        await r.platform.requests(3)
        await r.next_beat()
        await r.platform.requests(4)
        failed, second, third = r.beats()
        assert "allowlist" in failed
        assert "allowlist" in second
        assert "allowlist" not in third
        assert second["allowlistHash"] == third["allowlistHash"]


def http_error(retry_after: str | None = None, status: int = 503) -> Reply:
    headers = {"retry-after": retry_after} if retry_after else {}
    return answer({"error": "busy"}, status, headers)


async def test_status_says_what_dispatch_must_know(tmp_path: Path) -> None:
    """Ready is idle or busy by capacity; paused is draining, and is told at once."""
    async with rig(tmp_path, ok(), ok(), config=Config(capacity=Capacity(2))) as r:
        await r.platform.requests(2)
        await r.until_idle()
        r.lifecycle.pause()
        await r.platform.requests(3)
        first, second = r.beats()
        assert (first["status"], first["activeCount"], first["maxSessions"]) == ("busy", 2, 2)
        assert second["status"] == "draining"


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(http(200, b"<html>sign in</html>", {"content-type": "text/html"})),
        answer({"acknowledged": False}),
        Reply(http(302, b"", {"location": "https://login.test/"})),
        Reply(http(200, b'{"acknowledged": tr', {"content-length": "400"}), end="close"),
        answer({"error": "broken"}, 500),
    ],
    ids=["html", "not acknowledged", "redirect", "cut", "500"],
)
async def test_ack_is_told_again_after_anything_but_an_accepted_beat(tmp_path: Path, refusal: Reply) -> None:
    """What a failed beat carried is carried by the next one, and the platform is shown as unreachable meanwhile."""
    async with rig(tmp_path, ok(), refusal, ok()) as r:
        await r.platform.requests(2)
        await r.until_idle()
        r.journal.submit(MutationRequest("m1", "x", {}, None, None), "config", r.clock.now())
        r.journal.settle([Verdict("m1", "applied")], r.clock.now())
        await r.clock.advance(30)
        await r.platform.requests(3)
        await r.until_idle()
        assert [c.code for c in r.conditions.current()] == ["platform_unreachable"]
        assert r.heartbeat.trace().consecutive_failures == 1
        await r.next_beat()
        await r.platform.requests(4)
        await r.until_idle()
        assert [beat.get("appliedMutations") for beat in r.beats()] == [None, ["m1"], ["m1"]]
        assert r.journal.acks(10) == []
        assert r.conditions.current() == []


async def test_retry_after_is_waited_out(tmp_path: Path) -> None:
    """Nothing goes out before Retry-After has passed, not even something that should be told now."""
    async with rig(tmp_path, ok(), http_error("300"), ok()) as r:
        await r.platform.requests(2)
        await r.next_beat()
        await r.platform.requests(3)
        await r.until_idle()
        r.heartbeat.tell_now()
        r.heartbeat.try_again()
        await anyio.wait_all_tasks_blocked()
        assert (r.clock.next_wake or 0) >= 299
        await r.clock.advance(500)
        await r.platform.requests(4)


async def test_an_interval_begins_when_a_beat_is_sent(tmp_path: Path) -> None:
    """A slow answer does not put off the next beat: else a platform that stood still would meet its whole fleet at once."""
    release = anyio.Event()
    async with rig(tmp_path, ok(), replace(ok(), release=release)) as r:
        await r.platform.requests(2)
        await r.next_beat()
        await r.platform.requests(3)
        await r.clock.advance(2)
        release.set()
        await r.until_idle()
        assert r.clock.next_wake == 28


async def test_a_network_change_does_not_wait_for_a_dead_request(tmp_path: Path) -> None:
    """A beat in flight over the old network is cancelled and sent again at once; one that is not late is not sent."""
    never = Reply(b"", release=anyio.Event())
    async with rig(tmp_path, ok(heldBeats=True), never, ok()) as r:
        await r.platform.requests(3)
        before = r.clock.monotonic()
        await r.heartbeat.network_changed()
        await r.platform.requests(4)
        await r.until_idle()
        assert r.clock.monotonic() == before
        assert r.heartbeat.trace().consecutive_failures == 0
        await r.heartbeat.network_changed()
        await anyio.wait_all_tasks_blocked()
        assert len(r.platform.heard) == 4


async def test_a_network_change_ends_the_backoff(tmp_path: Path) -> None:
    """After a failure, the network's return sends the next beat without waiting, and over no connection from before."""
    async with rig(tmp_path, ok(), answer({"error": "broken"}, 500), ok()) as r:
        await r.platform.requests(2)
        await r.next_beat()
        await r.platform.requests(3)
        await r.until_idle()
        before, connections = r.clock.monotonic(), r.platform.connections
        await r.heartbeat.network_changed()
        await r.platform.requests(4)
        assert r.clock.monotonic() == before
        assert r.platform.connections == connections + 1


@pytest.mark.parametrize("status", [401, 404])
async def test_401_is_answered_by_a_refresh_and_the_same_worker(tmp_path: Path, status: int) -> None:
    """A refused token is refreshed and the beat sent again at once; the worker id stays, also where it was not found."""
    async with rig(tmp_path, ok(), answer({"error": "expired"}, status), REFRESHED, ok()) as r:
        await r.platform.requests(2)
        await r.next_beat()
        await r.platform.requests(5)
        assert [line.split()[1] for line in r.platform.lines[2:]] == [
            "/api/workers/wkr_1/heartbeat",
            "/api/workers/wkr_1/refresh-token",
            "/api/workers/wkr_1/heartbeat",
        ]
        await r.until_idle()
        assert r.heartbeat.trace().consecutive_failures == 0


async def test_early_beats_are_limited(tmp_path: Path) -> None:
    """Things to tell now go out in a burst of five, then one a second."""
    async with rig(tmp_path, *(ok() for _ in range(12))) as r:
        await r.platform.requests(2)
        for count in range(3, 8):
            await r.until_idle()
            r.heartbeat.tell_now()
            await r.platform.requests(count)
        await r.until_idle()
        r.heartbeat.tell_now()
        await anyio.wait_all_tasks_blocked()
        await r.clock.sleepers(1)
        assert len(r.platform.heard) == 7
        await r.clock.advance(1.0)
        await r.platform.requests(8)


async def test_full_page_of_acks_is_followed_at_once(tmp_path: Path) -> None:
    """When a beat carried all the acks it may and more wait, the next goes out without waiting."""
    async with rig(tmp_path, ok(), ok(), ok(), ok()) as r:
        await r.platform.requests(2)
        await r.until_idle()
        for number in range(450):
            r.journal.submit(MutationRequest(f"m{number:03}", "x", {}, None, None), "config", r.clock.now())
        r.journal.settle([Verdict(f"m{number:03}", "applied") for number in range(450)], r.clock.now())
        r.heartbeat.tell_now()
        await r.platform.requests(5)
        await r.until_idle()
        counts = [len(applied) for beat in r.beats() if isinstance(applied := beat.get("appliedMutations"), list)]
        assert counts == [200, 200, 50]


async def test_late_beat_after_a_suspend_goes_out_once(tmp_path: Path) -> None:
    """A machine that slept for an hour beats once when it wakes, and then on the interval again."""
    async with rig(tmp_path, ok(), ok(), ok()) as r:
        await r.platform.requests(2)
        await r.until_idle()
        r.clock.step(3600)
        await r.platform.requests(3)
        await r.until_idle()
        assert r.clock.next_wake == pytest.approx(30)
        assert len(r.beats()) == 2


async def test_clock_skew_is_a_condition_while_it_lasts(tmp_path: Path) -> None:
    """A server time more than 30 s away raises a condition, a close one clears it."""
    start = FakeClock().now()
    near, far = rfc3339(start + timedelta(seconds=60)), rfc3339(start + timedelta(seconds=600))
    async with rig(tmp_path, ok(serverTime=far), ok(serverTime=near)) as r:
        await r.platform.requests(2)
        await r.until_idle()
        assert [c.code for c in r.conditions.current()] == ["clock_skew"]
        await r.clock.advance(30)
        await r.platform.requests(3)
        await r.until_idle()
        assert r.conditions.current() == []


async def test_held_beat_waits_and_is_cancelled_by_news(tmp_path: Path) -> None:
    """With a platform that holds beats, the next beat waits there; something to tell cancels it and goes out plainly."""
    hold = anyio.Event()
    replies = (
        ok(heldBeats=True),
        answer({"acknowledged": True, "heldBeats": True}, release=hold),
        ok(heldBeats=True),
    )
    async with rig(tmp_path, *replies) as r:
        await r.platform.requests(3)
        assert "prefer" not in r.platform.heard[1].headers
        assert r.platform.heard[2].headers["prefer"] == "wait=30"
        r.journal.submit(MutationRequest("m1", "x", {}, None, None), "config", r.clock.now())
        r.journal.settle([Verdict("m1", "applied")], r.clock.now())
        r.heartbeat.tell_now()
        await r.platform.requests(4)
        assert "prefer" not in r.platform.heard[3].headers
        assert r.beats()[2]["appliedMutations"] == ["m1"]


async def test_platform_that_pretends_to_hold_is_not_asked_in_a_circle(tmp_path: Path) -> None:
    """Held beats that are answered at once with nothing in them are slowed down to one a second."""
    async with rig(tmp_path, *(ok(heldBeats=True) for _ in range(40))) as r:
        await r.platform.requests(7)
        await r.until_idle()
        for _ in range(3):
            count = len(r.platform.heard)
            await r.next_beat()
            await r.platform.requests(count + 1)
            await r.until_idle()
            assert r.clock.next_wake == pytest.approx(1.0)


async def test_projects_changed_are_reported_in_full_again(tmp_path: Path) -> None:
    """Another admission makes the next beat a full report, which the platform is not asked to hold."""
    config = Config(projects={"a": Project("a", True, ("https://x.test/a",))})
    stays = answer({"acknowledged": True}, release=anyio.Event())
    async with rig(tmp_path, ok(heldBeats=True), stays, ok(heldBeats=True), stays) as r:
        await r.platform.requests(3)
        r.live.adopt(Loaded(config, (), {}), "d2")
        r.heartbeat.tell_now()
        await r.platform.requests(5)
        first, held, second, third = r.beats()
        assert (first["allowlist"], first["enabledProjectIds"]) == ([], [])
        assert (second["allowlist"], second["enabledProjectIds"]) == (
            [{"id": "a", "repository": "https://x.test/a"}], ["a"],
        )  # fmt: skip
        assert ["allowlist" in held, "allowlist" in third] == [False, False]
        assert ["prefer" in heard.headers for heard in r.platform.heard[1:]] == [False, True, False, True]


async def test_a_beat_that_is_not_held_is_not_cut_short_by_news(tmp_path: Path) -> None:
    """Its answer is on the way, and what has come up goes out behind it."""
    release = anyio.Event()
    async with rig(tmp_path, answer({"acknowledged": True}, release=release), ok()) as r:
        await r.platform.requests(2)
        r.heartbeat.tell_now()
        await anyio.wait_all_tasks_blocked()
        release.set()
        await r.platform.requests(3)
        await r.until_idle()
        assert len(r.answers) == 2


async def test_a_platform_that_fails_is_not_asked_to_hold(tmp_path: Path) -> None:
    """After a failure the next beat is a plain one, and news do not bring it forward."""
    stays = answer({"acknowledged": True}, release=anyio.Event())
    async with rig(tmp_path, ok(heldBeats=True), http_error(status=500), ok(heldBeats=True), stays) as r:
        await r.platform.requests(3)
        await r.until_idle()
        r.heartbeat.tell_now()
        await anyio.wait_all_tasks_blocked()
        assert len(r.platform.heard) == 3
        await r.next_beat()
        await r.platform.requests(5)
        assert ["prefer" in heard.headers for heard in r.platform.heard[1:]] == [False, True, False, True]


async def test_failures_are_waited_out_up_to_four_intervals(tmp_path: Path) -> None:
    """However often it failed, the next try is no further away than that."""
    async with rig(tmp_path, *(http_error(status=500) for _ in range(16))) as r:
        waits = []
        for count in range(2, 17):
            await r.platform.requests(count)
            await r.until_idle()
            waits.append(r.clock.next_wake or 0.0)
            await r.clock.advance(waits[-1])
        assert max(waits) <= 120
        assert max(waits) > 30


async def test_ready_means_accepted_within_three_intervals(tmp_path: Path) -> None:
    """A platform that does not answer makes the host unready after three intervals, not before."""
    async with rig(tmp_path, ok(), answer({"acknowledged": True}, release=anyio.Event())) as r:
        assert not r.heartbeat.trace().ready
        await r.platform.requests(2)
        await r.until_idle()
        await r.clock.advance(30)
        await r.platform.requests(3)
        r.clock.step(60)
        assert r.heartbeat.trace().ready
        r.clock.step(0.1)
        assert not r.heartbeat.trace().ready


async def test_a_beat_that_cannot_be_recorded_has_failed(tmp_path: Path) -> None:
    """Its acks are told again, the disk is to blame and not the platform, and both are over with the next one."""
    async with rig(tmp_path, ok(), ok(), ok()) as r:
        await r.platform.requests(2)
        await r.until_idle()
        r.journal.submit(MutationRequest("m1", "x", {}, None, None), "config", r.clock.now())
        r.journal.settle([Verdict("m1", "applied")], r.clock.now())
        r.full_disk = True
        await r.clock.advance(30)
        await r.platform.requests(3)
        await r.until_idle()
        assert [c.code for c in r.conditions.current()] == ["disk_full"]
        r.full_disk = False
        await r.next_beat()
        await r.platform.requests(4)
        await r.until_idle()
        assert [beat.get("appliedMutations") for beat in r.beats()] == [None, ["m1"], ["m1"]]
        assert r.conditions.current() == []


async def test_the_last_beat_is_not_tried_where_beats_fail(tmp_path: Path) -> None:
    """A stop tells a platform that answers, and does not wait for one that does not."""
    async with rig(tmp_path, ok(), ok(), http_error(status=500)) as r:
        await r.platform.requests(2)
        await r.until_idle()
        await r.heartbeat.farewell()
        assert len(r.platform.heard) == 3
        await r.next_beat()
        await r.platform.requests(4)
        await r.until_idle()
        await r.heartbeat.farewell()
        assert len(r.platform.heard) == 4


@pytest.mark.parametrize(("configured", "used"), [(0.2, 1.0), (30.0, 30.0), (10_000.0, 3600.0)])
async def test_the_interval_has_bounds(tmp_path: Path, configured: float, used: float) -> None:
    """A second to an hour, whatever is configured, until the platform names another."""
    async with rig(tmp_path, ok(), config=Config(heartbeat=HeartbeatSettings(configured))) as r:
        assert r.heartbeat.interval == used
        await r.platform.requests(2)
        assert r.heartbeat.interval == 30.0


async def test_news_that_comes_while_a_beat_is_composed_is_not_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat that was composed just before something had to be told is not held: the next one tells it at once."""
    hold = anyio.Event()
    compose = BeatDesk.compose
    composed = 0

    async def interrupted(desk: BeatDesk, worker_id: str) -> Beat:
        nonlocal composed
        beat = await compose(desk, worker_id)
        composed += 1
        if composed == 2:
            r.heartbeat.tell_now()
        return beat

    monkeypatch.setattr(BeatDesk, "compose", interrupted)
    async with rig(
        tmp_path, ok(heldBeats=True), ok(heldBeats=True), answer({"acknowledged": True}, release=hold)
    ) as r:
        await r.platform.requests(4)
        assert "prefer" not in r.platform.heard[2].headers
