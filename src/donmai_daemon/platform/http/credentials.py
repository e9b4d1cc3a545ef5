"""From the bearer of a request to who is asking, counted against that credential's rate."""

from __future__ import annotations

from donmai_daemon.platform.conditions import Unauthorized
from donmai_daemon.platform.http.endpoint import Call
from donmai_daemon.platform.http.limits import RateLimiter
from donmai_daemon.platform.records.keys import KeyRecord
from donmai_daemon.platform.service.keys import Keys
from donmai_daemon.platform.service.tokens import Claims, Tokens, looks_like_jwt


class Credentials:
    """Recognises keys and runtime tokens; each kind has buckets of its own."""

    def __init__(self, keys: Keys, tokens: Tokens, limiter: RateLimiter) -> None:
        self._keys = keys
        self._tokens = tokens
        self._limiter = limiter

    async def key(self, call: Call) -> KeyRecord:
        """The API key of a request. Raises `Unauthorized`, `TooManyRequests`."""
        return await self.key_of(call.bearer)

    async def key_of(self, text: str | None) -> KeyRecord:
        """The API key that `text` is; raises as `key` does."""
        key = await self._keys.recognise(text)
        self._limiter.take(key.id)
        return key

    async def worker(self, call: Call) -> Claims:
        """The runtime token of a request. Raises `Unauthorized`, `TooManyRequests`."""
        if call.bearer is None or not looks_like_jwt(call.bearer):
            raise Unauthorized("a runtime token is needed: Authorization: Bearer <token>")
        claims = await self._tokens.verify(call.bearer)
        self._limiter.take(claims.subject)
        return claims

    def count(self, credential: str) -> None:
        """Count a request whose credential somebody else has recognised. Raises `TooManyRequests`."""
        self._limiter.take(credential)


def bearer_of(header: str | None) -> str | None:
    """The token of an Authorization header; None without one, or where it is of another kind."""
    scheme, _, token = (header or "").partition(" ")
    return token if scheme.lower() == "bearer" and token and token.isprintable() and " " not in token else None
