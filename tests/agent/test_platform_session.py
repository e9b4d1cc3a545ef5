"""One session's words to the platform, against one that answers with scripted bytes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support.clock import FakeClock
from tests.support.link import ScriptedPlatform, answer, client_of, scripted_platform

from donmai_daemon.agent.platform_session import PlatformSession
from donmai_daemon.errors import DonmaiError, PlatformRefused
from donmai_daemon.model.secret import Secret

pytestmark = pytest.mark.anyio


class Talk:
    """A session, and the credentials it asked for."""

    def __init__(self, platform: ScriptedPlatform, clock: FakeClock) -> None:
        self.platform = platform
        self.clock = clock
        self.session: PlatformSession
        self.renewed = 0

    async def renew(self, _stale: Secret) -> Secret:
        self.renewed += 1
        return Secret("second")

    async def report(self, seconds: float) -> DonmaiError | None:
        """Report the end, letting the time of its waits pass; how that failed, None: it did not."""
        failed: list[DonmaiError] = []
        async with anyio.create_task_group() as group:

            async def tell() -> None:
                try:
                    await self.session.report("completed", seconds)
                except DonmaiError as error:
                    failed.append(error)
                group.cancel_scope.cancel()

            group.start_soon(tell)
            while True:
                await self.clock.sleepers()
                await self.clock.advance(self.clock.next_wake or 0.0)
        return failed[0] if failed else None


@asynccontextmanager
async def talking() -> AsyncIterator[Talk]:
    clock = FakeClock()
    async with scripted_platform() as platform, client_of(platform, clock) as client:
        talk = Talk(platform, clock)
        talk.session = PlatformSession(
            client=client,
            session_id="ses_1",
            worker_id="wkr_1",
            claim_id="clm_1",
            issue_id=None,
            token=Secret("first"),
            renew=talk.renew,
            clock=clock,
            rng=random.Random(1),
        )
        yield talk


async def test_a_report_is_given_up_when_its_time_is_over() -> None:
    """A platform that fails for good does not keep the runner; the last failure says why."""
    async with talking() as talk:
        talk.platform.will(*[answer({"error": "broken"}, 500)] * 40)
        start = talk.clock.monotonic()
        error = await talk.report(60)
        assert isinstance(error, PlatformRefused)
        assert len(talk.platform.heard) > 3
        assert talk.clock.monotonic() - start <= 60


async def test_a_refusal_that_stands_is_not_tried_again() -> None:
    """403 is final, asks for no other credential, and is told as it is."""
    async with talking() as talk:
        talk.platform.will(answer({"error": "not yours"}, 403))
        error = await talk.report(60)
        assert isinstance(error, PlatformRefused)
        assert (error.status, len(talk.platform.heard), talk.renewed) == (403, 1, 0)


async def test_an_old_credential_is_renewed_once() -> None:
    """401 is answered with another credential, at once; a second 401 stands."""
    async with talking() as talk:
        talk.platform.will(*[answer({"error": "expired"}, 401)] * 2, answer({}))
        error = await talk.report(60)
        assert isinstance(error, PlatformRefused)
        bearers = [heard.headers["authorization"] for heard in talk.platform.heard]
        assert (bearers, talk.renewed) == (["Bearer first", "Bearer second"], 1)
