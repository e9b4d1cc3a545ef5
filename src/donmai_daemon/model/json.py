"""The JSON value type, and narrow readers for values that came from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"


def text_or_none(source: Mapping[str, Json], key: str) -> str | None:
    """The string under `key`, or None where it is absent or of another type."""
    value = source.get(key)
    return value if isinstance(value, str) else None


def int_or_none(source: Mapping[str, Json], key: str) -> int | None:
    """The integer under `key`, or None where it is absent or of another type (a bool is no integer)."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
