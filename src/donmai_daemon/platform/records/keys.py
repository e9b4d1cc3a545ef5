"""API keys and the keys that sign runtime tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from donmai_daemon.model.secret import Secret

Role: TypeAlias = Literal["owner", "admin", "member", "worker"]

ROLES: tuple[Role, ...] = ("owner", "admin", "member", "worker")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One API key. The key itself is not kept, only its SHA-256; `prefix` is enough of it to recognise it by."""

    id: str
    org_id: str
    role: Role
    name: str | None
    prefix: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None

    @property
    def label(self) -> str:
        """How a person would name this key."""
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key for HS256. `retired_at` None: the one that signs. A retired one verifies until `verify_until`."""

    id: str
    secret: Secret
    created_at: datetime
    retired_at: datetime | None = None
    verify_until: datetime | None = None
