"""The JSON value type, and narrow readers for values that came from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"

MAX_NESTING = 64
"""Levels of objects and lists that are taken from outside. Without a limit of our own it is the interpreter's, which differs from
one version to the next, and between whoever takes a value and whoever it is passed on to."""


def is_too_deep(value: Json) -> bool:
    """Whether `value` has objects and lists in more than `MAX_NESTING` levels; without recursion."""
    layer = [value]
    for _ in range(MAX_NESTING):
        inner: list[Json] = []
        for one in layer:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        layer = inner
    return any(isinstance(one, dict | list) for one in layer)


def text_or_none(source: Mapping[str, Json], key: str) -> str | None:
    """The string under `key`, or None where it is absent or of another type."""
    value = source.get(key)
    return value if isinstance(value, str) else None


def int_or_none(source: Mapping[str, Json], key: str) -> int | None:
    """The integer under `key`, or None where it is absent or of another type (a bool is no integer)."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
