"""Texts that must not be seen."""

from __future__ import annotations

import hashlib
import hmac


class Secret:
    """A token. Neither `str` nor `repr` shows it; `reveal()` does, and belongs only where it leaves for its owner."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def digest(self) -> str:
        """SHA-256 hex: tells whether two secrets are the same one without keeping either."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.digest, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def is_token(text: str) -> bool:
    """Whether `text` can stand in an Authorization header: printable ASCII without spaces, at most 16 KiB."""
    return 0 < len(text) <= 16 * 1024 and all("!" <= character <= "~" for character in text)
