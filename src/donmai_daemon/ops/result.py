"""How a handler ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from donmai_daemon.ops.document import Document


@dataclass(frozen=True, slots=True)
class Changed:
    """The document that the operation leads to. Not yet verified: `Document.verify()` is the caller's, once a batch."""

    document: Document


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Success, and nothing to write."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The operation cannot be done. `error` goes to the platform: at most 512 characters, no local path."""

    error: str


Result: TypeAlias = Changed | Unchanged | Rejected
