"""What sessions need from the platform, as a protocol; `link` can do it, `compose` joins the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from donmai_daemon.model.json import JsonObject


@dataclass(frozen=True, slots=True)
class Credential:
    """What a session presents to the platform, and where."""

    auth_token: str = field(repr=False)
    platform_url: str
    worker_id: str


class PlatformPort(Protocol):
    """Requests in the name of this host.

    Each raises `PlatformUnreachable`, `PlatformRefused` or `PlatformAnswerInvalid`. Renewing the host's own token
    where it has run out is the other side's business.
    """

    @property
    def worker_id(self) -> str | None:
        """Who this host is now, None before it has ever been registered."""
        ...

    async def nack(self, session_id: str, body: JsonObject) -> None: ...

    async def status(self, session_id: str, body: JsonObject) -> None:
        """Report a status. A 409 that says the session is already in this status, by this worker and claim, is success."""
        ...

    async def credential(self, session_id: str) -> Credential:
        """A token for one session, fresh."""
        ...
