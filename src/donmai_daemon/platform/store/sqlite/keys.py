"""API keys and signing keys in SQLite."""

from __future__ import annotations

from datetime import datetime, timedelta

from donmai_daemon.platform.records.keys import KeyRecord, SigningKey
from donmai_daemon.platform.store.codec import key_record, milliseconds, signing_key
from donmai_daemon.platform.store.sqlite.database import Database, Transaction
from donmai_daemon.platform.store.values import key_values


class SqliteKeys:
    """Implements `KeyStore` and `SigningKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_key(self, key: KeyRecord, digest: str) -> None:
        def write(transaction: Transaction) -> None:
            transaction.run("insert_key", **key_values(key, digest))
            transaction.audit(key.id, milliseconds(key.created_at), key.created_by, None, "active")

        await self._database.write(write)

    async def key_by_digest(self, digest: str) -> KeyRecord | None:
        row = self._database.row("key_by_digest", digest=digest)
        return None if row is None else key_record(row)

    async def keys(self, org_id: str | None) -> list[KeyRecord]:
        return [key_record(row) for row in self._database.rows("list_keys", org_id=org_id)]

    async def revoke_key(self, key_id: str, at: datetime, by: str) -> KeyRecord | None:
        def write(transaction: Transaction) -> KeyRecord | None:
            stamp = milliseconds(at)
            if transaction.run("revoke_key", id=key_id, at=stamp):
                transaction.audit(key_id, stamp, by, "active", "revoked")
            row = transaction.row("key_by_id", id=key_id)
            return None if row is None else key_record(row)

        return await self._database.write(write)

    async def signing_keys(self) -> list[SigningKey]:
        return [signing_key(row) for row in self._database.rows("signing_keys")]

    async def ensure_signing_key(self, key: SigningKey) -> None:
        def write(transaction: Transaction) -> None:
            if transaction.row("has_signing_key") is None:
                _insert(transaction, key, "platform")

        await self._database.write(write)

    async def rotate_signing_key(self, key: SigningKey, keep: timedelta, by: str) -> None:
        def write(transaction: Transaction) -> None:
            at = milliseconds(key.created_at)
            transaction.run("drop_signing_keys", at=at)
            transaction.run("retire_signing_keys", at=at, until=milliseconds(key.created_at + keep))
            _insert(transaction, key, by)

        await self._database.write(write)


def _insert(transaction: Transaction, key: SigningKey, by: str) -> None:
    at = milliseconds(key.created_at)
    transaction.run("insert_signing_key", id=key.id, secret=key.secret.reveal(), created_at=at)
    transaction.audit(key.id, at, by, None, "signing")
