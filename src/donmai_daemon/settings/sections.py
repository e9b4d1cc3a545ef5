"""The sections with fixed keys, as pydantic-settings reads them. Imported only when they must be read.

Strict on both sides: a number in quotes is wrong in the file. A variable is text by nature, so pydantic-settings
turns it into the type of its key, lists and tables from JSON.

Only what was set comes out; defaults are those of `model.config`, stated once.
"""

# mypy: disallow-any-explicit=False
# pydantic marks its models with dataclass_transform, and the constructor that mypy derives from that is made of Any.

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from donmai_daemon.model.config import AdmissionMode, Consent, LogFormat, LogLevel
from donmai_daemon.settings.environment import overridden, variable
from donmai_daemon.settings.findings import Path, Problem, kind, suggestion

Text: TypeAlias = Annotated[str, Field(min_length=1)]
Seconds: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Machine(_Section):
    id: Text = ""
    name: Text = ""
    region: Text = ""


class Platform(_Section):
    url: Text = ""
    token_file: Text = ""
    allow_insecure: bool = False
    ca_file: Text = ""
    proxy: Text = ""


class Heartbeat(_Section):
    interval_seconds: Annotated[Seconds, Field(ge=1, le=3600)] = 0


class Control(_Section):
    host: Text = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    socket: Text = ""


class Capacity(_Section):
    max_sessions: Annotated[int, Field(ge=0, le=1000)] = 0


class Admission(_Section):
    mode: AdmissionMode = "enumerated"


class Remote(_Section):
    default: Consent = "apply"
    ops: dict[str, Consent] = {}


class Agent(_Section):
    command: list[Text] = []
    drain_timeout_seconds: Annotated[Seconds, Field(ge=0, le=86400)] = 0


class Log(_Section):
    level: LogLevel = "info"
    format: LogFormat = "auto"


class Sections(BaseSettings):
    """Defaults here say only that a section may be missing; what is not set is not passed on."""

    model_config = SettingsConfigDict(strict=True, extra="ignore")

    machine: Machine = Machine()
    platform: Platform = Platform()
    heartbeat: Heartbeat = Heartbeat()
    control: Control = Control()
    capacity: Capacity = Capacity()
    admission: Admission = Admission()
    remote: Remote = Remote()
    agent: Agent = Agent()
    log: Log = Log()

    def __init__(self, *sources: PydanticBaseSettingsSource) -> None:
        """Merge `sources`, the first that has a value wins."""
        super().__init__(_build_sources=(sources, {}))


class _Environment(EnvSettingsSource):
    """Reads the variables it is given, not the process's own."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(Sections, env_prefix="DONMAI_", env_nested_delimiter="__", env_nested_max_split=1)
        self.env_vars = {name.lower(): text for name, text in variables.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:
        """Text that is no JSON is passed on as it is: validation then names the key, which a JSON error cannot."""
        try:
            decoded: object = super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
        return decoded


def read(
    tables: Mapping[str, object], variables: Mapping[str, str]
) -> dict[str, dict[str, object]] | list[Problem]:
    """What is set, by section and key, all of JSON's types; or every problem that there is.

    `tables` are the sections of the file, `variables` the overrides by name. An override replaces the value of the
    file whole, a table too, so its file value is not looked at.
    """
    hidden = overridden(variables)
    from_file = {
        section: {key: value for key, value in table.items() if (section, key) not in hidden}
        if isinstance(table, dict)
        else table
        for section, table in tables.items()
    }
    try:
        sections = Sections(_Environment(variables), InitSettingsSource(Sections, init_kwargs=from_file))
    except ValidationError as error:
        return [
            _problem(details["loc"], details["type"], details["input"], details.get("ctx", {}), hidden)
            for details in error.errors(include_url=False)
        ]
    values: dict[str, dict[str, object]] = sections.model_dump(exclude_unset=True)
    return values


_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}
_KINDS = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": 'a list of texts, like ["a", "b"]',
    "dict_type": 'a table, like { "project.add" = "deny" }',
    "model_type": "a table",
}


def _problem(
    path: Path, code: str, value: object, context: Mapping[str, object], hidden: frozenset[tuple[str, str]]
) -> Problem:
    """Say in the file's own terms what pydantic found."""
    place = (str(path[0]), str(path[1]) if len(path) > 1 else "")
    by = variable(*place) if place in hidden else None
    but = "" if by else f", not {kind(value)}"  # the value of a variable is always text
    if place[0] == "remote" and value == "review":
        return Problem(path, "review is not available in this version", 'use "apply" or "deny"', by)
    if code == "literal_error":
        expected = str(context["expected"]).replace("'", '"')
        near = suggestion(value.lower(), re.findall(r'"(.*?)"', expected)) if isinstance(value, str) else ""
        if isinstance(value, str) and len(value) <= 40:
            but = f", not {json.dumps(value)}"
        return Problem(path, f"must be {expected}{but}", near.removeprefix(": ") or None, by)
    if code in _BOUNDS:
        words, bound = _BOUNDS[code]
        return Problem(path, f"must be {words} {context[bound]:g}", variable=by)
    if code in _KINDS:
        return Problem(path, f"must be {_KINDS[code]}{but}", variable=by)
    if code == "string_too_short":
        return Problem(path, "must not be empty", "remove the line to use the default", by)
    return Problem(path, "must be a finite number" if code == "finite_number" else "cannot be read", variable=by)
