"""Runtime tokens: JSON Web Tokens, HS256, signed by a key from the store."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import jwt

from donmai_daemon.clock import Clock
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import StoreUnavailable, Unauthorized
from donmai_daemon.platform.identifiers import Names
from donmai_daemon.platform.records.keys import SigningKey
from donmai_daemon.platform.settings import MAX_TOKEN_TTL
from donmai_daemon.platform.store.ports import SigningKeyStore

WORKER_SCOPE = "worker"
"""The scope of a daemon's own token. A token for one session has `session:<id>` instead, and nothing more."""

_ALGORITHM = "HS256"
_CLAIMS = ("jti", "sub", "proj", "org", "reg")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says. `subject` is a worker id, `registration` the id of its host, `project` "" for all."""

    subject: str
    org_id: str
    registration: str
    scope: tuple[str, ...]
    project: str = ""

    @property
    def session_id(self) -> str | None:
        """The one session this token is limited to, None for a daemon's own."""
        return next((s.removeprefix("session:") for s in self.scope if s.startswith("session:")), None)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token to hand out, once."""

    token: Secret
    expires_at: datetime


def looks_like_jwt(token: str) -> bool:
    """Exactly two dots: that is how a runtime token is told apart from an opaque key."""
    return token.count(".") == 2


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, store: SigningKeyStore, clock: Clock, names: Names, ttl: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._names = names
        self._ttl = ttl
        self._signers: dict[str, SigningKey] = {}

    async def ensure_signing_key(self) -> None:
        """Make the first signing key where there is none."""
        await self._store.ensure_signing_key(self._new_key())

    async def rotate(self, by: str) -> SigningKey:
        """Sign with a new key from now on; tokens that are out stay good until they expire."""
        key = self._new_key()
        await self._store.rotate_signing_key(key, MAX_TOKEN_TTL, by)
        return key

    async def mint(self, claims: Claims) -> Minted:
        """A token that says `claims`, good for the configured time."""
        now = self._clock.now()
        key = next((key for key in await self._store.signing_keys() if key.retired_at is None), None)
        if key is None:
            raise StoreUnavailable("it holds no signing key")
        expires_at = (now + self._ttl).replace(microsecond=0)
        payload = {
            "jti": self._names.new("jti"),
            "sub": claims.subject,
            "proj": claims.project,
            "org": claims.org_id,
            "reg": claims.registration,
            "scope": list(claims.scope),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = jwt.encode(payload, key.secret.reveal(), algorithm=_ALGORITHM, headers={"kid": key.id})
        return Minted(Secret(token), expires_at)

    async def verify(self, token: str) -> Claims:
        """What `token` says. Raises `Unauthorized`."""
        now = self._clock.now()
        header = token.partition(".")[0]
        key = self._signers.get(header) or await self._signer(header)
        if key is None or (key.verify_until is not None and now >= key.verify_until):
            raise Unauthorized("the runtime token is not good")
        claims, expires_at = _said(token, key.secret.reveal())
        if now >= expires_at:
            raise Unauthorized("the runtime token has expired")
        return claims

    async def _signer(self, header: str) -> SigningKey | None:
        """The key whose tokens begin with `header`, looked up once.

        A key that is known stays good for verifying: retired, it does so for as long as any token it signed can live.
        """
        self._signers = {_header_of(key): key for key in await self._store.signing_keys()}
        return self._signers.get(header)

    def _new_key(self) -> SigningKey:
        return SigningKey(self._names.new("sig"), Secret(self._names.signing_secret()), self._clock.now())


def _header_of(key: SigningKey) -> str:
    """The first part of every token that `key` signs. It names the algorithm, so a token cannot choose another."""
    token = jwt.encode({}, key.secret.reveal(), algorithm=_ALGORITHM, headers={"kid": key.id})
    return token.partition(".")[0]


def _said(token: str, secret: str) -> tuple[Claims, datetime]:
    """The claims and the expiry, where the signature is good. Raises `Unauthorized`.

    RFC 7515 5.2 for the one header that we write ourselves; PyJWT's general way costs ten times as much, on every beat.
    """
    signed, _, signature = token.rpartition(".")
    try:
        digest = hmac.digest(secret.encode(), signed.encode("ascii"), "sha256")
        expected = urlsafe_b64encode(digest).rstrip(b"=")
        if not hmac.compare_digest(expected, signature.encode("ascii")):
            raise Unauthorized("the runtime token is not good")
        encoded = signed.partition(".")[2]
        payload: dict[str, object] = json.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError as error:
        raise Unauthorized("the runtime token is not good") from error
    # Only we sign, so beyond this point the types are ours.
    _, subject, project, org, registration = (cast("str", payload[name]) for name in _CLAIMS)
    claims = Claims(subject, org, registration, tuple(cast("list[str]", payload["scope"])), project)
    return claims, datetime.fromtimestamp(cast("int", payload["exp"]), UTC)
