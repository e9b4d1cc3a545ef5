"""The journal's SQL, by name: `schema.sql` holds the schema, one section a version; `queries.sql` every statement."""

from __future__ import annotations

from collections.abc import Mapping

from donmai_daemon.sql import sections


def versions() -> Mapping[str, str]:
    """The schema: version → what makes it of the one before."""
    return sections(__name__, "schema.sql")


def queries() -> Mapping[str, str]:
    """Every statement, by name."""
    return sections(__name__, "queries.sql")
