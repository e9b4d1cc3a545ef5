"""Overrides from the environment: `DONMAI_<SECTION>__<KEY>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from donmai_daemon.model.config import Config
from donmai_daemon.settings.findings import Findings, suggestion

FILE_ONLY = ("projects", "model_access")
"""Sections that no variable overrides. Mutations edit them in the file; an override would hide what was applied,
and an acknowledged change would have no effect."""

_DEFAULT = Config()

SECTIONS: Mapping[str, tuple[str, ...]] = {
    section.name: tuple(key.name for key in fields(getattr(_DEFAULT, section.name)))
    for section in fields(_DEFAULT)
    if section.name not in FILE_ONLY
}
"""Every section that has fixed keys, with its keys."""

_PREFIX = "DONMAI_"


def variable(section: str, key: str) -> str:
    """The name of the variable that overrides `section.key`."""
    return f"{_PREFIX}{section}__{key}".upper()


_NAMES: Mapping[str, tuple[str, str]] = {
    variable(section, key): (section, key) for section, keys in SECTIONS.items() for key in keys
}


def overrides(environ: Mapping[str, str], findings: Findings) -> dict[str, str]:
    """The variables that override a key, by name. An empty one counts as unset; one that names no key is warned of."""
    found: dict[str, str] = {}
    for name, text in environ.items():
        if not name.upper().startswith(_PREFIX) or "__" not in name:
            continue
        if name in _NAMES:
            if text:
                found[name] = text
        elif (section := name.upper().removeprefix(_PREFIX).split("__")[0].lower()) in FILE_ONLY:
            findings.warning(
                (),
                f"environment variable {name} is ignored: [{section}] is read from the file alone, where mutations edit it",
            )
        else:
            findings.warning((), f"environment variable {name} names no setting{suggestion(name.upper(), _NAMES)}")
    return found


def overridden(found: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """`(section, key)` of every override in `found`."""
    return frozenset(_NAMES[name] for name in found)
