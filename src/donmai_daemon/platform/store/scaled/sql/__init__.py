"""The scaled store's SQL, by name: `schema.sql` holds the schema, one section a version; `queries.sql` what is not shared.

Written as SQLite's is, and handed out as psycopg takes it: in bytes, with parameters `%(name)s`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from donmai_daemon.platform.store.sql import shared
from donmai_daemon.sql import sections

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
"""Not the second colon of a cast, nor one before a quote."""


@cache
def versions() -> Mapping[str, bytes]:
    """The schema: version → what makes it of the one before."""
    found = sections(__name__, "schema.sql")
    return MappingProxyType({version: text.encode() for version, text in found.items()})


@cache
def queries() -> Mapping[str, bytes]:
    """Every statement, by name."""
    found = {**shared(), **sections(__name__, "queries.sql")}
    return MappingProxyType({name: _PARAMETER.sub(r"%(\1)s", text).encode() for name, text in found.items()})
