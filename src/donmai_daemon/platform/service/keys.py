"""API keys: who is asking, and what their role allows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from donmai_daemon.clock import Clock
from donmai_daemon.model.secret import Secret
from donmai_daemon.platform.conditions import Absent, Forbidden, Unauthorized
from donmai_daemon.platform.identifiers import KEY_PREFIX, Names
from donmai_daemon.platform.records.keys import KeyRecord, Role
from donmai_daemon.platform.store.ports import KeyStore

READERS: tuple[Role, ...] = ("owner", "admin", "member")
"""Roles that may look, and queue work."""

CHANGERS: tuple[Role, ...] = ("owner", "admin")
"""Roles that may change machines, and make keys."""

REGISTRARS: tuple[Role, ...] = ("owner", "admin", "worker")
"""Roles that may register a daemon. Who can make a `worker` key gains nothing by doing without one."""

_SHOWN = len(KEY_PREFIX) + 8


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only time its text is known."""

    record: KeyRecord
    text: Secret


class Keys:
    """Makes, lists, revokes and recognises keys."""

    def __init__(self, store: KeyStore, clock: Clock, names: Names) -> None:
        self._store = store
        self._clock = clock
        self._names = names

    async def create(self, org_id: str, role: Role, name: str | None, by: str) -> NewKey:
        """A new key of `org_id`, which needs no other introduction."""
        text = self._names.api_key()
        record = KeyRecord(
            id=self._names.new("key"),
            org_id=org_id,
            role=role,
            name=name,
            prefix=text[:_SHOWN],
            created_at=self._clock.now(),
            created_by=by,
        )
        await self._store.add_key(record, digest_of(text))
        return NewKey(record, Secret(text))

    async def all(self, org_id: str | None) -> list[KeyRecord]:
        """Keys of one organisation, or of all."""
        return await self._store.keys(org_id)

    async def revoke(self, key_id: str, by: str) -> KeyRecord:
        """Revoke for good, effective with the next request. Raises `Absent`."""
        revoked = await self._store.revoke_key(key_id, self._clock.now(), by)
        if revoked is None:
            raise Absent(f"no key {key_id}")
        return revoked

    async def recognise(self, text: str | None) -> KeyRecord:
        """The key that a bearer is. Raises `Unauthorized`, for an unknown and for a revoked key alike."""
        if text is None:
            raise Unauthorized("an API key is needed: Authorization: Bearer rsk_live_…")
        found = None
        if text.startswith(KEY_PREFIX):
            found = await self._store.key_by_digest(digest_of(text))
        if found is None:
            raise Unauthorized("the API key is not good")
        return found


def require(key: KeyRecord, roles: tuple[Role, ...]) -> None:
    """Raises `Forbidden` where the key's role is none of `roles`."""
    if key.role not in roles:
        raise Forbidden(f"a key with role {key.role} may not do this (it takes: {', '.join(roles)})")


def digest_of(text: str) -> str:
    """What is stored of a key. 256 bits of randomness need no salt and no slow hash."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
