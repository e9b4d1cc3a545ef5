"""How one platform process serves: numbers and addresses, with the defaults of the product."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from donmai_daemon.model.secret import Secret

MAX_TOKEN_TTL = timedelta(hours=24)
"""Longest life of a runtime token. A retired signing key verifies for as long, so a rotation logs nobody out."""

DEFAULT_PORT = 7735


@dataclass(frozen=True, slots=True)
class Leases:
    """How long a claim holds: unconfirmed, and confirmed without being renewed; and how often somebody looks."""

    confirm_within: timedelta = timedelta(seconds=60)
    lease: timedelta = timedelta(seconds=120)

    @property
    def sweep_every(self) -> timedelta:
        return min(timedelta(seconds=5), self.confirm_within / 4, self.lease / 4)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What `donmai platform serve` was told.

    `rate_limit` is requests a second for one key, with a burst of five times as many; runtime tokens have a bucket of
    their own each. `request_timeout` is from a request's first byte to its last. `legacy_key` is `WORKER_API_KEY`, good for the organisation `legacy_org` and for the queued session
    detail only.
    """

    public_url: str
    heartbeat_interval: timedelta = timedelta(seconds=30)
    poll_interval: timedelta = timedelta(seconds=5)
    token_ttl: timedelta = timedelta(hours=1)
    rate_limit: float = 100.0
    request_timeout: timedelta = timedelta(seconds=30)
    legacy_org: str | None = None
    legacy_key: Secret | None = None
    leases: Leases = Leases()


def whole_milliseconds(span: timedelta) -> int:
    """`span` as the `/api` routes say it."""
    return round(span / timedelta(milliseconds=1))
