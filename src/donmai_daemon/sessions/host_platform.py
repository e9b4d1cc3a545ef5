"""The platform as sessions see it, spoken to in the name of this host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from donmai_daemon.errors import PlatformAnswerInvalid, PlatformRefused, PlatformUnreachable
from donmai_daemon.link.client import PlatformClient
from donmai_daemon.link.identity import Credentials, Identity
from donmai_daemon.model.json import JsonObject, text_or_none
from donmai_daemon.model.secret import is_token
from donmai_daemon.sessions.platform_port import Credential

T = TypeVar("T")


class HostPlatform:
    """Implements `PlatformPort`. A token that has run out is renewed once per request."""

    def __init__(self, client: PlatformClient, identity: Identity) -> None:
        self._client = client
        self._identity = identity

    @property
    def worker_id(self) -> str | None:
        return self._identity.worker_id

    async def poll(self) -> JsonObject:
        """Claim work for the worker this host is. Raises as the other calls do."""
        return await self._authorized(
            lambda us: self._client.poll(us.worker_id, us.runtime_token), renew_at={401, 404}
        )

    async def nack(self, session_id: str, body: JsonObject) -> None:
        await self._authorized(lambda us: self._client.nack(session_id, us.runtime_token, body))

    async def status(self, session_id: str, body: JsonObject) -> None:
        await self._authorized(lambda us: self._client.session_status(session_id, us.runtime_token, body))

    async def credential(self, session_id: str) -> Credential:
        """The platform gives the owner of a claim a token for that session alone. The host's own is never passed on."""
        detail = await self._authorized(lambda us: self._client.session_detail(session_id, us.runtime_token))
        token = text_or_none(detail, "authToken") or ""
        if not is_token(token):
            raise PlatformAnswerInvalid("the platform's answer has no token for the session")
        return Credential(
            auth_token=token,
            platform_url=self._client.url,  # this machine reaches it there; the public URL may be for others
            worker_id=text_or_none(detail, "workerId") or self._identity.worker_id or "",
        )

    async def _authorized(
        self, call: Callable[[Credentials], Awaitable[T]], renew_at: frozenset[int] | set[int] = frozenset({401})
    ) -> T:
        credentials = await self._identity.current()
        try:
            return await call(credentials)
        except PlatformRefused as error:
            if error.status not in renew_at:
                raise
        return await call(await self._identity.renew(credentials))


class NoPlatform:
    """Implements `PlatformPort` where no platform is configured."""

    worker_id: str | None = None

    async def nack(self, session_id: str, body: JsonObject) -> None:
        raise PlatformUnreachable("no platform is configured")

    async def status(self, session_id: str, body: JsonObject) -> None:
        raise PlatformUnreachable("no platform is configured")

    async def credential(self, session_id: str) -> Credential:
        raise PlatformUnreachable("no platform is configured")
