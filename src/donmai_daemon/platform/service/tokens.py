"""Runtime tokens: JSON Web Tokens, HS256, signed by a key from the store."""

from __future__ import annotations

from collections.abc import Sequence
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
        keys = await self._store.signing_keys()
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = _verifying(keys, key_id, now)
            # The times are checked against our own clock, below.
            payload: dict[str, object] = jwt.decode(
                token,
                key.secret.reveal(),
                algorithms=[_ALGORITHM],
                options={"require": [*_CLAIMS, "exp", "scope"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthorized("the runtime token is not good") from error
        return _claims(payload, now)

    def _new_key(self) -> SigningKey:
        return SigningKey(self._names.new("sig"), Secret(self._names.signing_secret()), self._clock.now())


def _verifying(keys: Sequence[SigningKey], key_id: object, now: datetime) -> SigningKey:
    for key in keys:
        if key.id == key_id and (key.verify_until is None or now < key.verify_until):
            return key
    raise Unauthorized("the runtime token is not good")


def _claims(payload: dict[str, object], now: datetime) -> Claims:
    expires, scope = payload["exp"], payload["scope"]
    if not isinstance(expires, int | float) or now >= datetime.fromtimestamp(expires, UTC):
        raise Unauthorized("the runtime token has expired")
    # Only we sign, so beyond this point the types are ours.
    _, subject, project, org, registration = (cast("str", payload[name]) for name in _CLAIMS)
    return Claims(subject, org, registration, tuple(cast("list[str]", scope)), project)
