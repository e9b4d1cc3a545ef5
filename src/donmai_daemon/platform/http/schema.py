"""The part of JSON Schema that this API is described with, checked by the same words that describe it.

Understood: type (one, or a list of them), enum, properties, required, items, minLength, maxLength, maxItems, minimum,
maximum, and pattern (of the whole text). Properties that are not named are let through: unknown fields are never fatal.
"""

from __future__ import annotations

import re
from typing import cast

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.conditions import RequestRefused

_NAMES = {"object": "an object", "array": "a list", "string": "a text", "integer": "a whole number",
          "number": "a number", "boolean": "true or false", "null": "null"}  # fmt: skip


def check(schema: JsonObject, value: Json, field: str = "") -> None:
    """Raises `RequestRefused` that names the first field which is not as `schema` says."""
    types = schema.get("type")
    allowed = [str(t) for t in types] if isinstance(types, list) else [str(types)] if types is not None else []
    if allowed and not any(_is(kind, value) for kind in allowed):
        wanted = " or ".join(_NAMES[kind] for kind in allowed if kind != "null")
        raise RequestRefused(field, f"must be {wanted}")
    if "enum" in schema and value not in cast("list[Json]", schema["enum"]):
        raise RequestRefused(field, f"must be one of {', '.join(map(str, cast('list[Json]', schema['enum'])))}")
    if isinstance(value, str):
        _check_text(schema, value, field)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(schema, value, field)
    elif isinstance(value, list):
        _check_list(schema, value, field)
    elif isinstance(value, dict):
        _check_object(schema, value, field)


def _is(kind: str, value: Json) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return value is None


def _check_text(schema: JsonObject, value: str, field: str) -> None:
    if len(value) < cast("int", schema.get("minLength", 0)):
        raise RequestRefused(field, "must not be empty")
    longest = cast("int", schema.get("maxLength", len(value)))
    if len(value) > longest:
        raise RequestRefused(field, f"longer than {longest} characters")
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and re.fullmatch(pattern, value) is None:
        raise RequestRefused(field, "has characters that it must not have")


def _check_number(schema: JsonObject, value: float, field: str) -> None:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int) and value < least:
        raise RequestRefused(field, f"must be {least} or more")
    if isinstance(most, int) and value > most:
        raise RequestRefused(field, f"must be {most} or less")


def _check_list(schema: JsonObject, value: list[Json], field: str) -> None:
    most = cast("int", schema.get("maxItems", len(value)))
    if len(value) > most:
        raise RequestRefused(field, f"has more than {most} elements")
    items = schema.get("items")
    if isinstance(items, dict):
        for index, element in enumerate(value):
            check(items, element, f"{field}[{index}]")


def _check_object(schema: JsonObject, value: JsonObject, field: str) -> None:
    before = f"{field}." if field else ""
    for name in cast("list[str]", schema.get("required", [])):
        if name not in value:
            raise RequestRefused(before + name, "is required")
    for name, inner in cast("JsonObject", schema.get("properties", {})).items():
        if name in value and isinstance(inner, dict):
            check(inner, value[name], before + name)
