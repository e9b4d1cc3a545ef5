"""config.example.toml: complete, true, and loadable."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from donmai_daemon.model.config import Cell, Config, Policy, Project
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.registry import remote_operations
from donmai_daemon.settings import Loaded, load
from donmai_daemon.settings.environment import FILE_ONLY

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
TEXT = EXAMPLE.read_text("utf-8")
UNCOMMENTED = re.sub(r"^#(?=\[|[\w-]+ = )", "", TEXT, flags=re.MULTILINE)


def loaded(text: str) -> Loaded:
    return load(Document.parse(text.encode()), {})


def test_the_example_changes_nothing() -> None:
    """Copied as it is, it leaves every default in force, without a warning."""
    result = loaded(TEXT)
    assert result.config == Config()
    assert result.warnings == ()


def test_everything_shown_can_be_used() -> None:
    """With every key uncommented it still loads, without a warning."""
    assert loaded(UNCOMMENTED).warnings == ()


def test_every_key_is_shown() -> None:
    """A key that the daemon knows is explained here, and no other is."""
    shown = tomllib.loads(UNCOMMENTED)
    for section in fields(Config):
        if section.name not in FILE_ONLY:
            assert list(shown[section.name]) == [key.name for key in fields(getattr(Config(), section.name))]
    assert set(shown) == {section.name for section in fields(Config)}
    assert set(shown["projects"]["alpha"]) == {key.name for key in fields(Project)} - {"id"}
    policies = [shown["model_access"]["default"], *shown["model_access"]["workloads"].values()]
    assert {key for policy in policies for key in policy} == {key.name for key in fields(Policy)}
    cells = [cell for policy in policies for row in policy.get("matrix", {}).values() for cell in row.values()]
    assert {key for cell in cells for key in cell} == {key.name for key in fields(Cell)}


def test_the_defaults_shown_are_the_defaults() -> None:
    """Where a key has a default, the line that shows it shows that value."""
    config = loaded(UNCOMMENTED).config
    for section in fields(Config):
        if section.name in FILE_ONLY:
            continue
        default, shown = getattr(Config(), section.name), getattr(config, section.name)
        for key in fields(default):
            value = getattr(default, key.name)
            if value is not None and value not in ((), {}):
                assert getattr(shown, key.name) == value, f"{section.name}.{key.name}"


def test_every_operation_is_named() -> None:
    """Who writes `[remote] ops` finds all names that mean something there."""
    for name in remote_operations():
        assert name in TEXT
