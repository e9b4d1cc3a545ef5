"""Names for new things: random, prefixed by kind, and made from a source of randomness that is passed in."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["mut", "host", "wkr", "key", "ses", "clm", "jti", "sig", "req"]
Entropy: TypeAlias = Callable[[int], bytes]
"""`n -> n random bytes`, good enough for secrets."""

KEY_PREFIX = "rsk_live_"


class Names:
    """Makes identifiers and secrets."""

    def __init__(self, entropy: Entropy = secrets.token_bytes) -> None:
        self._entropy = entropy

    def new(self, kind: Kind) -> str:
        """`<kind>_<32 hex>`."""
        return f"{kind}_{self._entropy(16).hex()}"

    def api_key(self) -> str:
        """`rsk_live_<64 hex>`: the whole secret, to be shown once."""
        return KEY_PREFIX + self._entropy(32).hex()

    def signing_secret(self) -> str:
        """64 hex digits for HS256 (RFC 7518, 3.2 asks for 32 bytes at least)."""
        return self._entropy(32).hex()
