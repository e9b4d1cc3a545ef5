"""The platform as sessions see it: one renewal where the host's token has run out, and never the host's own token."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.link import (
    RecordedConditions,
    ScriptedPlatform,
    answer,
    client_of,
    refreshed,
    registered,
    scripted_platform,
)

from donmai_daemon.errors import PlatformAnswerInvalid, PlatformRefused
from donmai_daemon.link.credentials import CredentialsCache
from donmai_daemon.link.identity import Identity
from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.config import Config
from donmai_daemon.model.registration import HostInfo, Registration
from donmai_daemon.model.secret import Secret
from donmai_daemon.sessions.host_platform import HostPlatform
from donmai_daemon.store.atomic import write_private

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def host(directory: Path) -> AsyncIterator[tuple[HostPlatform, ScriptedPlatform]]:
    """A machine that will register with its first request."""
    clock = FakeClock()
    info = HostInfo("linux", "x86_64", "0", "2026-11-24T06:00:00.000Z")
    async with scripted_platform() as server, client_of(server, clock) as client:
        server.will(answer(registered()))
        identity = Identity(
            client=client,
            cache=CredentialsCache(directory / "credentials.json", write_private),
            machine_id="m1",
            registration=lambda: Registration("h", 2, "0", "m1", info, AdmissionReport.of(Config())),
            registration_token=lambda: Secret("rsk_live_1"),
            conditions=RecordedConditions(),
            clock=clock,
            rng=random.Random(1),
            on_change=lambda: None,
        )
        yield HostPlatform(client, identity), server


def bearers(server: ScriptedPlatform) -> list[str]:
    return [heard.headers["authorization"].removeprefix("Bearer ") for heard in server.heard]


@pytest.mark.parametrize(("request_", "status"), [("status", 401), ("nack", 401), ("poll", 401), ("poll", 404)])
async def test_a_token_that_ran_out_is_renewed_once(tmp_path: Path, request_: str, status: int) -> None:
    """The request is made again with the new token; a second refusal stands."""
    async with host(tmp_path) as (platform, server):
        server.will(answer({"error": "old"}, status), answer(refreshed("rt_2")), answer({}))
        if request_ == "status":
            await platform.status("ses_1", {"workerId": "wkr_1", "status": "claimed"})
        elif request_ == "nack":
            await platform.nack("ses_1", {"workerId": "wkr_1", "reason": "no"})
        else:
            assert await platform.poll() == {}
        assert bearers(server) == ["rsk_live_1", "rt_1", "rsk_live_1", "rt_2"]
        server.will(answer({}, status), answer(refreshed("rt_3")), answer({}, 401))
        with pytest.raises(PlatformRefused):
            await platform.poll()


async def test_a_session_nobody_knows_is_no_reason_to_renew(tmp_path: Path) -> None:
    """404 speaks of the session there, and not of this host."""
    async with host(tmp_path) as (platform, server):
        server.will(answer({"error": "no such session"}, 404))
        with pytest.raises(PlatformRefused):
            await platform.status("ses_1", {"workerId": "wkr_1", "status": "claimed"})
        assert len(server.heard) == 2


async def test_a_session_never_gets_the_hosts_own_token(tmp_path: Path) -> None:
    """The credential is the one the platform gives for that session; without one there is none."""
    async with host(tmp_path) as (platform, server):
        server.will(answer({"authToken": "for-ses-1", "platformUrl": "https://p.example", "workerId": "wkr_0"}))
        credential = await platform.credential("ses_1")
        assert (credential.auth_token, credential.platform_url, credential.worker_id) == (
            "for-ses-1", server.url, "wkr_0",
        )  # fmt: skip
        assert "for-ses-1" not in repr(credential)
        server.will(answer({"sessionId": "ses_1"}))
        with pytest.raises(PlatformAnswerInvalid):
            await platform.credential("ses_1")
