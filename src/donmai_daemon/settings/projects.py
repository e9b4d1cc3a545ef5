"""The section `[projects]`: plain code, because mutations edit it and it may hold thousands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from donmai_daemon.model.config import Project
from donmai_daemon.ops import urls
from donmai_daemon.settings.findings import Findings, kind

_KEYS = frozenset({"repositories", "enabled", "primary"})
# Most URLs are plain and need no closer look.
_USUAL_URL = re.compile(r"https://[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*(?::\d+)?(?:/[\w.~+][\w.~+-]*)+")


class Known(NamedTuple):
    """Tables that were read before, with nothing to say about them, and the projects they are."""

    tables: Mapping[str, object]
    projects: Mapping[str, Project]


NOTHING = Known({}, {})


def read(value: object, findings: Findings, known: Known = NOTHING) -> dict[str, Project]:
    """Every project that can be read, in the order of the file; what is wrong goes to `findings`.

    A table that is the same object as in `known` is not looked into again: an edit shares those it did not touch.
    """
    if not isinstance(value, dict):
        findings.problem(("projects",), f"must be a table, not {kind(value)}", hint="write [projects.<id>]")
        return {}
    tables, projects = known
    return {
        name: projects[name] if tables.get(name) is table else _project(name, table, findings)
        for name, table in value.items()
    }


def _project(name: str, table: object, findings: Findings) -> Project:
    path = ("projects", name)
    if not isinstance(table, dict):
        findings.problem(path, f"must be a table, not {kind(table)}", hint=f"write [projects.{name}]")
        return Project(name)
    if not name:
        findings.problem(path, "a project needs an id")
    if not table.keys() <= _KEYS:
        for key in table.keys() - _KEYS:
            findings.unknown_key((*path, key), _KEYS)
    enabled = table.get("enabled", True)
    if not isinstance(enabled, bool):
        findings.problem((*path, "enabled"), f"must be true or false, not {kind(enabled)}")
        enabled = True
    repositories = _repositories(name, table.get("repositories", []), findings)
    primary = table.get("primary")
    if primary is not None:
        if not isinstance(primary, str):
            findings.problem((*path, "primary"), f"must be text in quotes, not {kind(primary)}")
            primary = None
        elif primary not in repositories:
            findings.warning((*path, "primary"), "is not one of the project's repositories")
    return Project(name, enabled, repositories, primary)


def _repositories(name: str, value: object, findings: Findings) -> tuple[str, ...]:
    if not isinstance(value, list):
        findings.problem(
            ("projects", name, "repositories"),
            f"must be a list of URLs, not {kind(value)}",
            hint='write repositories = ["https://…"]',
        )
        return ()
    good: list[str] = []
    for index, url in enumerate(value):
        path = ("projects", name, "repositories", index)
        if not isinstance(url, str):
            findings.problem(path, f"must be text in quotes, not {kind(url)}")
        elif not url.strip():
            findings.problem(path, "must not be empty", hint="remove the element")
        else:
            good.append(url)
            # A path is for the owner to write: the platform can name a repository on this machine, not add one.
            if not (_USUAL_URL.fullmatch(url) or urls.is_path(url)) and (trouble := urls.problem(url)):
                findings.warning(path, f"{trouble}; kept as it is")
    return tuple(good)
