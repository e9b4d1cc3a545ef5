"""The embedded store's SQL, by name: `schema.sql` holds the schema, one section a version; the others what is not shared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from donmai_daemon.platform.store.sql import shared
from donmai_daemon.sql import sections


def versions() -> Mapping[str, str]:
    """The schema: version → what makes it of the one before."""
    return sections(__name__, "schema.sql")


@cache
def queries() -> Mapping[str, str]:
    """Every statement, by name."""
    return MappingProxyType({**shared(), **sections(__name__, "queries.sql", "work.sql")})
