"""Getting the session's detail: from the daemon of this machine, or from the platform where there is none."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from donmai_daemon.agent.retrying import retry_after, worth_retrying
from donmai_daemon.clock import Clock
from donmai_daemon.errors import DonmaiError
from donmai_daemon.link.client import PlatformClient
from donmai_daemon.model.json import Json, JsonObject, text_or_none
from donmai_daemon.model.secret import Secret, is_token

TRIES = 3
_GAPS = (1.0, 4.0)
_MAX_GAP = 30.0
DEFAULT_BUDGET_SECONDS = 7200.0


class DetailUnusable(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """The session's detail lacks what a run needs."""

    code = "detail_unusable"


@dataclass(frozen=True, slots=True)
class Detail:
    """`payload` is the whole detail as it came and goes to the agent. `budget_seconds`: how long the agent may run."""

    platform_url: str
    token: Secret
    worker_id: str
    claim_id: str | None
    issue_id: str | None
    repository: str | None
    ref: str | None
    branch: str | None
    prompt: str
    env: Mapping[str, str] = field(repr=False)
    budget_seconds: float
    payload: JsonObject = field(repr=False)


async def fetch_detail(
    client: PlatformClient, session_id: str, bearer: Secret, clock: Clock, rng: random.Random
) -> JsonObject:
    """Three tries with growing gaps, where trying again can help: no answer, 5xx, 408, 429. Raises the last failure."""
    for attempt in range(TRIES):
        try:
            return await client.session_detail(session_id, bearer)
        except DonmaiError as error:
            if attempt == TRIES - 1 or not worth_retrying(error):
                raise
            gap = min(max(_GAPS[attempt], retry_after(error) or 0.0), _MAX_GAP) * (1 + 0.2 * rng.random())
            structlog.get_logger("agent").info("agent.detail_waits", reason=error.message, retry_in=round(gap, 2))
            await clock.sleep(gap)
    raise AssertionError("the last try returns or raises")


def read_detail(payload: JsonObject, bearer: Secret) -> Detail:
    """Check what a run needs. Raises `DetailUnusable`.

    Without a token of its own in the detail, the bearer that fetched it is the session's credential.
    """
    platform_url = text_or_none(payload, "platformUrl")
    if not platform_url:
        raise DetailUnusable("the session's detail names no platformUrl")
    named = text_or_none(payload, "authToken")
    if named and not is_token(named):
        raise DetailUnusable("the session's authToken is no token")
    worker_id = text_or_none(payload, "workerId")
    budget = payload.get("stageBudget")
    limit = budget.get("maxDurationSeconds") if isinstance(budget, dict) else None
    env = payload.get("env")
    return Detail(
        platform_url=platform_url,
        token=Secret(named) if named else bearer,
        worker_id=worker_id or "",
        claim_id=text_or_none(payload, "claimId"),
        issue_id=text_or_none(payload, "issueId"),
        repository=text_or_none(payload, "repository") or None,
        ref=text_or_none(payload, "ref") or None,
        branch=text_or_none(payload, "branch") or None,
        prompt=text_or_none(payload, "prompt") or text_or_none(payload, "body") or "",
        env=_environment(env if isinstance(env, dict) else {}),
        budget_seconds=_seconds(limit),
        payload=payload,
    )


def _environment(env: Mapping[str, Json]) -> dict[str, str]:
    """Variables for the agent; what is none, or is this program's own, is passed over."""
    return {
        name: value
        for name, value in env.items()
        if isinstance(value, str)
        and name
        and "=" not in name
        and "\0" not in name + value
        and not name.startswith("DONMAI_")
    }


def _seconds(limit: Json) -> float:
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < float("inf"):
        return DEFAULT_BUDGET_SECONDS
    return float(limit)
