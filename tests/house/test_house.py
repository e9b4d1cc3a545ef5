"""The rules of the house, checked on the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "donmai_daemon"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

# Which package may import which, and why not more. Single modules of the top level are packages of their own here.
LEAVES = {"errors", "clock", "__init__"}
ALLOWED: dict[str, tuple[set[str], str]] = {
    "errors": (set(), "everything imports it"),
    "clock": (set(), "a collaborator, not a consumer"),
    "sql": (set(), "it reads the files of whoever asks"),
    "model": (LEAVES, "data only: whoever holds data must not pull in behaviour"),
    "ops": (LEAVES | {"model"}, "pure: an edit must be testable without a disk, a clock or a network"),
    "access": (LEAVES | {"model"}, "pure: the policy decision is the same for daemon, CLI and tests"),
    "store": (LEAVES | {"sql", "model", "ops"}, "durable and blocking: it must not know who calls it"),
    "settings": (LEAVES | {"model", "ops"}, "it reads; it does not act"),
    "link": (LEAVES | {"model"}, "the wire: it must not know what an answer leads to"),
    "runtime": (LEAVES | {"model", "ops", "access", "store", "link", "settings", "sessions", "log", "systemd"},
                "the daemon; it never imports the platform, they speak over the wire"),
    "sessions": (LEAVES | {"model", "ops", "access", "store", "link", "settings", "log"}, "agent work, started by the daemon"),
    "agent": (LEAVES | {"model", "link", "log", "sessions"}, "runs in its own process, also where no daemon is"),
    "control": (LEAVES | {"model", "ops", "log", "settings", "access"}, "a shell: it reaches the daemon through its ports only"),
    "platform": (LEAVES | {"sql", "model", "ops", "log", "systemd"}, "the other end of the wire; never imported by the daemon"),
    "simulate": (LEAVES | {"model", "link", "runtime"},
                 "daemons in numbers, made of the daemon's own parts; they speak to a platform over the wire as well"),
    "log": (LEAVES | {"model"}, "set up once, by an entry point"),
    "systemd": (LEAVES, "a datagram socket and nothing else"),
    "paths": (LEAVES, "where files are"),
}  # fmt: skip
EVERYTHING = {"compose", "cli", "__main__"}  # the places where the parts meet


def imports_of(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "donmai_daemon":
                names = [f"donmai_daemon.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("donmai_daemon"))


def room(dotted: str) -> str:
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_point_down(module: Path) -> None:
    """A module imports only from the rooms below its own."""
    relative = module.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    if own in EVERYTHING:
        return
    allowed, reason = ALLOWED.get(own, (LEAVES | {"paths"}, "a new room: say in this test what it may import"))
    for name in imports_of(module):
        if name.startswith("donmai_daemon.__") or name == "donmai_daemon":
            continue
        target = room(name)
        assert target == own or target in allowed | {"paths"}, f"{relative} imports {name}. {own}: {reason}."


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_modules_are_short(module: Path) -> None:
    """A module stays under 300 lines, so that it keeps to one noun."""
    lines = module.read_text("utf-8").count("\n")
    assert lines <= 300, f"{module.relative_to(ROOT)} has {lines} lines"


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_modules_say_what_they_are(module: Path) -> None:
    """Every module begins with a docstring."""
    assert ast.get_docstring(ast.parse(module.read_text("utf-8"))), f"{module} has no docstring"


@pytest.mark.parametrize("module", TESTS, ids=lambda m: str(m.relative_to(ROOT)))
def test_tests_state_their_behaviour(module: Path) -> None:
    """Every test begins with one sentence that says what must hold."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            text = ast.get_docstring(node)
            assert text, f"{module.name}: {node.name} has no docstring"
            assert text.rstrip().endswith("."), f"{module.name}: {node.name}: {text!r} is not a sentence"
