"""Reading one document: every section checked, one configuration or one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from donmai_daemon.model.config import Config, ModelAccess
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.equality import same
from donmai_daemon.ops.registry import remote_operations
from donmai_daemon.settings import model_access, projects
from donmai_daemon.settings.environment import FILE_ONLY, SECTIONS, overridden, overrides
from donmai_daemon.settings.findings import Findings, Problem
from donmai_daemon.settings.rules import check

_PATHS = (("platform", "token_file"), ("platform", "ca_file"), ("control", "socket"))


Read: TypeAlias = Callable[[Mapping[str, object], Mapping[str, str]], dict[str, dict[str, object]] | list[Problem]]
"""Tables of the file and overrides by variable name → what is set, or what is wrong: `sections.read`."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A good configuration.

    `warnings` are sentences for a person. `sources` says of each dotted key where its value came from: `file`,
    `environment` or `default`; `[projects]` and `[model_access]` count as one key each.
    """

    config: Config
    warnings: tuple[str, ...]
    sources: Mapping[str, str]
    inputs: Inputs | None = field(default=None, repr=False, compare=False)
    """What it was read from, for the next `load` to compare; may hold secrets."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The sections with fixed keys as the file has them, the overrides by variable name, and what `~/` stands for.

    `projects` is the table of the projects, by which the next `load` knows those that it has read.
    """

    tables: Mapping[str, object]
    variables: Mapping[str, str]
    home: str
    projects: object

    def same_as(self, other: Inputs) -> bool:
        """Whether all but the projects is the same.

        `1`, `1.0` and `true` are equal to Python, and not the same in a file: one of them is refused.
        """
        return same(self.tables, other.tables) and self.variables == other.variables and self.home == other.home


def load(
    document: Document, environ: Mapping[str, str], previous: Loaded | None = None, read: Read | None = None
) -> Loaded:
    """Read `document` under the overrides in `environ`. `read` reads the sections; None: `sections.read`, here.

    With `previous`, sections that neither file nor environment changed are taken from there, and projects that an
    edit did not touch: after an edit of `[projects]` or `[model_access]`, the daemon's own included, pydantic is not
    needed, and thousands of other projects are not read again. Raises `ConfigInvalid` for the problem that stands
    first in the file, and says how many there are besides.
    """
    findings = Findings(document)
    values = document.values
    for name in values:
        if name not in SECTIONS and name not in FILE_ONLY:
            findings.unknown_key((name,), (*SECTIONS, *FILE_ONLY))
    inputs = Inputs(
        {name: values[name] for name in SECTIONS if name in values},
        overrides(environ, findings),
        environ.get("HOME", ""),
        values.get("projects"),
    )
    base = _sections(inputs, previous, read, findings)
    config = replace(
        base,
        projects=projects.read(values["projects"], findings, _known(previous)) if "projects" in values else {},
        model_access=model_access.read(values["model_access"], findings)
        if "model_access" in values
        else ModelAccess(),
    )
    findings.refuse()
    return Loaded(config, findings.warnings, _sources(inputs, values), inputs)


def _known(previous: Loaded | None) -> projects.Known:
    """What need not be read again; nothing where there were warnings, which are given at every reading."""
    if previous is None or previous.warnings or previous.inputs is None:
        return projects.NOTHING
    tables = previous.inputs.projects
    return projects.Known(tables, previous.config.projects) if isinstance(tables, dict) else projects.NOTHING


def _sections(inputs: Inputs, previous: Loaded | None, read: Read | None, findings: Findings) -> Config:
    """The sections with fixed keys; projects and model access are left to the caller."""
    for section, table in inputs.tables.items():
        for key in table if isinstance(table, dict) else ():
            if key not in SECTIONS[section]:
                findings.unknown_key((section, key), SECTIONS[section])
    if previous is not None and previous.inputs is not None and inputs.same_as(previous.inputs):
        config = previous.config
    elif not inputs.tables and not inputs.variables:
        config = Config()
    else:
        if read is None:
            from donmai_daemon.settings import sections  # pydantic costs 12 MiB and 100 ms, most loads do without

            read = sections.read
        answer = read(inputs.tables, inputs.variables)
        if isinstance(answer, list):
            findings.add(answer)
            return Config()
        config = _config(answer, inputs.home)
    check(config, overridden(inputs.variables), remote_operations(), findings)
    return config


def _config(values: Mapping[str, Mapping[str, object]], home: str) -> Config:
    """The values that were set, over the defaults. `~/` is resolved here, so that no reader of a path has to."""
    default = Config()

    def final(section: str, key: str, value: object) -> object:
        if isinstance(value, list):
            return tuple(value)
        if (section, key) in _PATHS and isinstance(value, str) and value.startswith("~/") and home:
            return home + value[1:]
        return value

    return replace(
        default,
        **{
            section: replace(
                getattr(default, section), **{key: final(section, key, value) for key, value in table.items()}
            )
            for section, table in values.items()
        },
    )


def _sources(inputs: Inputs, values: Mapping[str, object]) -> dict[str, str]:
    hidden = overridden(inputs.variables)
    sources: dict[str, str] = {}
    for section, keys in SECTIONS.items():
        table = inputs.tables.get(section, {})
        for key in keys:
            in_file = isinstance(table, dict) and key in table
            sources[f"{section}.{key}"] = (
                "environment" if (section, key) in hidden else "file" if in_file else "default"
            )
    return sources | {section: "file" if section in values else "default" for section in FILE_ONLY}
