"""API keys and signing keys in PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

from donmai_daemon.platform.records.keys import KeyRecord, SigningKey
from donmai_daemon.platform.store.codec import key_record, milliseconds, signing_key
from donmai_daemon.platform.store.scaled.database import Database, Transaction
from donmai_daemon.platform.store.values import key_values


class PostgresKeys:
    """Implements `KeyStore` and `SigningKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_key(self, key: KeyRecord, digest: str) -> None:
        async def write(transaction: Transaction) -> None:
            await transaction.run("insert_key", **key_values(key, digest))
            await transaction.audit(key.id, milliseconds(key.created_at), key.created_by, None, "active")

        await self._database.write(write)

    async def key_by_digest(self, digest: str) -> KeyRecord | None:
        row = await self._database.row("key_by_digest", digest=digest)
        return None if row is None else key_record(row)

    async def keys(self, org_id: str | None) -> list[KeyRecord]:
        return [key_record(row) for row in await self._database.rows("list_keys", org_id=org_id)]

    async def revoke_key(self, key_id: str, at: datetime, by: str) -> KeyRecord | None:
        async def write(transaction: Transaction) -> KeyRecord | None:
            stamp = milliseconds(at)
            if await transaction.run("revoke_key", id=key_id, at=stamp):
                await transaction.audit(key_id, stamp, by, "active", "revoked")
            row = await transaction.row("key_by_id", id=key_id)
            return None if row is None else key_record(row)

        return await self._database.write(write)

    async def signing_keys(self) -> list[SigningKey]:
        return [signing_key(row) for row in await self._database.rows("signing_keys")]

    async def ensure_signing_key(self, key: SigningKey) -> None:
        async def write(transaction: Transaction) -> None:
            await transaction.row("lock_signing_keys")
            if await transaction.row("has_signing_key") is None:
                await _insert(transaction, key, "platform")

        await self._database.write(write)

    async def rotate_signing_key(self, key: SigningKey, keep: timedelta, by: str) -> None:
        async def write(transaction: Transaction) -> None:
            at = milliseconds(key.created_at)
            await transaction.row("lock_signing_keys")
            await transaction.run("drop_signing_keys", at=at)
            await transaction.run("retire_signing_keys", at=at, until=milliseconds(key.created_at + keep))
            await _insert(transaction, key, by)

        await self._database.write(write)


async def _insert(transaction: Transaction, key: SigningKey, by: str) -> None:
    at = milliseconds(key.created_at)
    await transaction.run("insert_signing_key", id=key.id, secret=key.secret.reveal(), created_at=at)
    await transaction.audit(key.id, at, by, None, "signing")
