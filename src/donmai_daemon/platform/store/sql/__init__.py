"""The SQL that both databases speak, by name. Parameters are `:name`; a type is cast where PostgreSQL could not tell it."""

from __future__ import annotations

from collections.abc import Mapping

from donmai_daemon.sql import sections


def shared() -> Mapping[str, str]:
    """The statements of each store, beside which it has some of its own."""
    return sections(__name__, "keys.sql", "hosts.sql", "mutations.sql")
