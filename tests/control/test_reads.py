"""What the reading routes answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.control import DIGITS, NOW, SECRET_URL, STAMP, StandInDaemon, snapshot, surface

from donmai_daemon.control import views
from donmai_daemon.control.redact import redact
from donmai_daemon.model.config import Capacity, Config, PlatformLink

pytestmark = pytest.mark.anyio


async def test_status_says_everything_by_its_name(tmp_path: Path) -> None:
    """Every field of the contract, none renamed, none left out."""
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/api/daemon/status", token=DIGITS)).json == {
            "status": "ready",
            "version": "0.1.0",
            "machineId": "machine-1",
            "workerId": "wkr_1",
            "pid": 4711,
            "uptimeSeconds": 12.346,
            "activeSessions": 1,
            "maxSessions": 8,
            "projectsAllowed": 1,
            "projectAdmissionVersion": 2,
            "projectAdmissionMode": "enumerated",
            "enabledProjectIds": ["alpha"],
            "appliedProjectIds": ["alpha"],
            "projects": [
                {
                    "projectId": "alpha",
                    "enabled": True,
                    "repositories": ["https://github.com/acme/alpha.git", "git@github.com:acme/a.git"],
                },
                {"projectId": "beta", "enabled": False, "repositories": [SECRET_URL]},
            ],
            "hostStatus": {"status": "ok"},
            "heartbeat": {
                "intervalSeconds": 30.0,
                "lastSentAt": STAMP,
                "lastAcceptedAt": STAMP,
                "lastError": None,
                "consecutiveFailures": 0,
            },
            "mutations": {"pending": 1, "review": 0, "unsentAcks": 2},
            "conditions": [
                {"code": "clock_skew", "severity": "warning", "message": "the clock is 40 s ahead", "since": STAMP}
            ],
            "config": {"path": "/etc/donmai/daemon.toml", "digest": "ab" * 32, "valid": True},
            "timestamp": STAMP,
        }


async def test_stats_say_everything_by_its_name(tmp_path: Path) -> None:
    """Every field of the contract; repositories of disabled projects are in the list, their ids are not."""
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/api/daemon/stats", token=DIGITS)).json == {
            "capacity": {"maxConcurrentSessions": 8, "availableSessions": 7},
            "activeSessions": 1,
            "queueDepth": 0,
            "workerId": "wkr_1",
            "registration": {
                "status": "registered",
                "lastHeartbeatAt": STAMP,
                "heartbeatRunning": True,
                "pollRunning": True,
            },
            "allowedProjects": ["git@github.com:acme/a.git", "https://github.com/acme/alpha.git", SECRET_URL],
            "enabledProjectIds": ["alpha"],
            "appliedProjectIds": ["alpha"],
            "projectAdmissionVersion": 2,
            "projectAdmissionMode": "enumerated",
            "timestamp": STAMP,
        }


async def test_the_last_beat_is_the_accepted_one(tmp_path: Path) -> None:
    """A beat that was only sent does not count as the last one, and the error of the last attempt is told."""
    now = snapshot()
    failing = replace(now.beat, last_accepted_at=None, last_error="platform answered 503", consecutive_failures=3)
    async with surface(tmp_path, StandInDaemon(now=replace(now, beat=failing))) as served:
        registration = (await served.ask("GET", "/api/daemon/stats")).object["registration"]
        assert registration == {
            "status": "registered", "lastHeartbeatAt": None, "heartbeatRunning": True, "pollRunning": True,
        }  # fmt: skip
        beat = (await served.ask("GET", "/api/daemon/status")).object["heartbeat"]
        assert isinstance(beat, dict)
        assert (beat["lastSentAt"], beat["lastAcceptedAt"]) == (STAMP, None)
        assert (beat["lastError"], beat["consecutiveFailures"]) == ("platform answered 503", 3)


async def test_a_daemon_with_nothing_says_so(tmp_path: Path) -> None:
    """Unregistered, no platform, no projects, no capacity: null, zero and empty lists, never a missing field."""
    full = snapshot()
    bare = replace(
        full, worker_id=None, host_status=None, config=Config(capacity=Capacity(0)), applied_project_ids=(),
        config_digest=None, conditions=(), active_sessions=2,
        beat=replace(full.beat, last_sent_at=None, last_accepted_at=None, last_body=None, last_answer=None),
    )  # fmt: skip
    async with surface(tmp_path, StandInDaemon(now=bare)) as served:
        status = (await served.ask("GET", "/api/daemon/status")).object
        assert (status["workerId"], status["hostStatus"], status["maxSessions"]) == (None, None, 0)
        assert status["projects"] == status["enabledProjectIds"] == status["appliedProjectIds"] == []
        stats = (await served.ask("GET", "/api/daemon/stats")).object
        assert stats["capacity"] == {"maxConcurrentSessions": 0, "availableSessions": 0}
        assert stats["registration"] == {
            "status": "unconfigured", "lastHeartbeatAt": None, "heartbeatRunning": True, "pollRunning": True,
        }  # fmt: skip
        beat = (await served.ask("GET", "/api/daemon/heartbeat")).object
        assert (beat["lastBody"], beat["lastAnswer"]) == (None, None)
        served.daemon.now = replace(bare, config=Config(platform=PlatformLink(url="https://platform.test")))
        registration = (await served.ask("GET", "/api/daemon/stats")).object["registration"]
        assert isinstance(registration, dict)
        assert registration["status"] == "unregistered"


async def test_a_secret_in_a_text_is_cleared_too(tmp_path: Path) -> None:
    """An error text that quotes a URL with a password shows it to the owner alone."""
    now = snapshot()
    quoting = replace(now.beat, last_error=f"cannot reach {SECRET_URL}")
    async with surface(tmp_path, StandInDaemon(now=replace(now, beat=quoting))) as served:
        for path in ("/api/daemon/status", "/api/daemon/heartbeat", "/api/daemon/doctor"):
            assert b"hunter2" not in (await served.ask("GET", path)).body
        assert b"hunter2" in (await served.ask("GET", "/api/daemon/status", token=DIGITS)).body


def test_the_fields_of_the_views_are_no_secrets() -> None:
    """Rendering looks for secrets in texts only; that is right as long as no field is a secret by its name."""
    now = replace(snapshot(), config=Config())
    for view in (views.live_status(now), views.live_stats(now), views.lasting_status(now.config, ["a"])):
        assert redact(view) == view


async def test_a_new_configuration_shows_at_once(tmp_path: Path) -> None:
    """What was rendered for one configuration, or one set of applied projects, is not told of the next."""
    async with surface(tmp_path) as served:
        for token in (None, DIGITS):
            assert (await served.ask("GET", "/api/daemon/status", token=token)).object["projectsAllowed"] == 1
        served.daemon.now = snapshot(projects=3)
        for token in (None, DIGITS):
            assert (await served.ask("GET", "/api/daemon/status", token=token)).object["projectsAllowed"] == 4
            enabled = (await served.ask("GET", "/api/daemon/stats", token=token)).object["enabledProjectIds"]
            assert enabled == ["alpha", "project-00000", "project-00001", "project-00002"]
        served.daemon.now = replace(served.daemon.now, applied_project_ids=("alpha",))
        for token in (None, DIGITS):
            for path in ("/api/daemon/status", "/api/daemon/stats"):
                assert (await served.ask("GET", path, token=token)).object["appliedProjectIds"] == ["alpha"]


def test_both_halves_make_one_object() -> None:
    """The two halves of a view share no field, so that joining them loses none."""
    now = snapshot()
    lasting = now.config, now.applied_project_ids
    assert not views.live_status(now).keys() & views.lasting_status(*lasting).keys()
    assert not views.live_stats(now).keys() & views.lasting_stats(*lasting).keys()


async def test_the_heartbeat_is_shown_as_it_was_on_the_wire(tmp_path: Path) -> None:
    """Body and answer of the last beat, with who asked for a mutation only for the owner."""
    async with surface(tmp_path) as served:
        told = (await served.ask("GET", "/api/daemon/heartbeat", unix=True)).object
        assert told["lastBody"] == served.daemon.now.beat.last_body
        assert told["lastAnswer"] == served.daemon.now.beat.last_answer


async def test_settings_come_with_their_sources(tmp_path: Path) -> None:
    """Each effective value, where it came from, and what was strange in the file."""
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/api/daemon/config")).json == {
            "settings": {"capacity": {"max_sessions": 8}, "platform": {"proxy": "http://proxy.test:3128"}},
            "sources": {"capacity.max_sessions": "file"},
            "warnings": ["unknown key captcity"],
        }


async def test_alive_is_not_ready(tmp_path: Path) -> None:
    """`/healthz` asks for the process, `/readyz` for registration and beats; not ready has the error shape."""
    async with surface(tmp_path) as served:
        for path in ("/healthz", "/readyz"):
            reply = await served.ask("GET", path)
            assert (reply.status, reply.body) == (200, b"ok")
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        now = served.daemon.now
        served.daemon.now = replace(now, beat=replace(now.beat, ready=False))
        assert (await served.ask("GET", "/healthz")).status == 200
        refused = await served.ask("GET", "/readyz")
        assert (refused.status, refused.object["code"]) == (503, "not_ready")


async def test_a_fault_is_logged_once_and_told_without_detail(tmp_path: Path) -> None:
    """An unexpected exception is 500 in the one shape; the traceback is for the log."""
    async with surface(tmp_path, StandInDaemon(broken=True)) as served:
        with capture_logs() as logs:
            reply = await served.ask("GET", "/api/daemon/status")
        assert (reply.status, reply.json) == (500, {"error": "internal error", "code": "internal_error"})
        assert [(entry["event"], entry["route"], entry["method"]) for entry in logs] == [
            ("control.failed", "/api/daemon/status", "GET")
        ]
        assert (await served.ask("GET", "/healthz")).status == 200


def test_times_are_the_snapshots_own() -> None:
    """The timestamp is when the snapshot was taken, not when it was rendered."""
    assert views.live_status(replace(snapshot(), taken_at=NOW.replace(year=2020)))["timestamp"] == (
        "2020-11-24T06:01:27.123Z"
    )
