"""While the file cannot be understood or written: nothing is lost, everybody is told, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.support.daemon import Machine
from tests.support.waiting import eventually

ALPHA = "https://github.com/acme/alpha.git"


def by_rename(file: Path, text: str) -> None:
    beside = file.with_name("edited")
    beside.write_text(text)
    beside.rename(file)


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.mark.parametrize("save", [by_rename, in_place], ids=["by rename", "in place"])
def test_a_broken_file(machine: Machine, save: Callable[[Path, str], None]) -> None:
    """The daemon says where, goes by the last good file, keeps mutations until the repair, and applies them to it."""
    daemon = machine.daemon
    assert machine.mutate("project.add", {"id": "alpha", "repository": ALPHA})[0] == "applied"
    good = daemon.file.read_text()
    broken = good.replace("[projects.alpha]", "[projects.alpha")
    save(daemon.file, broken)
    where = f"line {good[: good.index('[projects.alpha]')].count(chr(10)) + 1}, column 16: "

    def told() -> str | None:
        return str(machine.conditions().get("config_invalid", {}).get("message", "")) or None

    assert eventually(told).startswith(where)
    status = daemon.status()
    assert status["enabledProjectIds"] == ["alpha"]
    config = status["config"]
    assert isinstance(config, dict)
    assert config["valid"] is False
    assert str(daemon.conditions()["config_invalid"]["message"]).startswith(where)
    assert where in daemon.host("status", "--json").out

    parked = machine.enqueue("project.disable", {"id": "alpha"})
    assert machine.mutate("session.kill", {"sessionId": "s"})[0] == "failed", "no file is needed for that one"
    eventually(lambda: "mutation_parked" in machine.conditions())
    assert machine.mutation(parked)["status"] == "delivered"
    assert daemon.file.read_text() == broken
    reload = daemon.host("reload")
    assert reload.code == 1
    assert reload.err.startswith("error: ")
    assert where in reload.err
    remove = daemon.host("project", "remove", "nobody")
    assert remove.code == 1
    assert f" is queued and not applied yet: 2 changes wait for the file: {where}" in remove.err

    save(daemon.file, good + "\n# repaired\n")
    assert machine.settled(parked)["status"] == "applied"
    assert daemon.file.read_text() == good.rstrip("\n") + "\nenabled = false\n\n# repaired\n"
    eventually(lambda: not daemon.conditions())
    eventually(lambda: not machine.conditions())
    assert daemon.host("reload").code == 0


def test_a_start_with_a_broken_file(machine: Machine) -> None:
    """A start with a file that says nothing usable goes by the last good one, and does not touch what is there."""
    daemon = machine.daemon
    assert machine.mutate("project.add", {"id": "alpha", "repository": ALPHA})[0] == "applied"
    assert daemon.stop() == 0
    good = daemon.file.read_text()
    daemon.file.write_text("projects = 3\n" + good)
    daemon.start()
    machine.joined()
    status = daemon.status()
    assert (status["enabledProjectIds"], "config_invalid" in daemon.conditions()) == (["alpha"], True)
    parked = machine.enqueue("project.disable", {"id": "alpha"})
    eventually(lambda: "mutation_parked" in daemon.conditions())
    assert daemon.file.read_text() == "projects = 3\n" + good
    by_rename(daemon.file, good)
    assert machine.settled(parked)["status"] == "applied"
    assert daemon.file.read_text() == good + "enabled = false\n"


@contextmanager
def second_name(file: Path) -> Iterator[None]:
    """A hard link, as some ways of sharing a configuration make it."""
    link = file.parent.parent / "shared-name"
    link.hardlink_to(file)
    yield
    link.unlink()


@contextmanager
def mounted_over(file: Path) -> Iterator[None]:
    """The file itself is a mount, as container engines make it."""
    subprocess.run(["mount", "--bind", str(file), str(file)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(file)], check=True)


@contextmanager
def read_only_directory(file: Path) -> Iterator[None]:
    """The file system that holds it cannot be written."""
    directory = file.parent
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN (bit 21 of the effective set, capabilities(7))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return os.geteuid() == 0 and bool(effective & 1 << 21)


Way: TypeAlias = Callable[[Path], AbstractContextManager[None]]

WAYS: list[tuple[Way, str]] = [(second_name, "it has 2 hard links")]
if may_mount():
    WAYS += [(mounted_over, "it is a mount point"), (read_only_directory, "Read-only file system")]


@pytest.mark.parametrize(("way", "cause"), WAYS, ids=[cause for _, cause in WAYS])
def test_a_file_that_cannot_be_written(machine: Machine, way: Way, cause: str) -> None:
    """A mutation waits with the cause told, memory does not run ahead, and it is applied once the cause is gone.

    The daemon is killed meanwhile, with a file of its last change still kept: the start does without its removal.
    """
    daemon = machine.daemon
    assert machine.mutate("project.enable", {"id": "beta"})[0] == "applied"
    before = daemon.file.read_text()
    with way(daemon.file):
        waiting = machine.enqueue("project.enable", {"id": "alpha"})

        def told() -> str | None:
            return str(machine.conditions().get("config_unwritable", {}).get("message", "")) or None

        assert cause in eventually(told)
        daemon.kill()
        daemon.start()
        assert cause in str(eventually(lambda: daemon.conditions().get("config_unwritable")))
        assert machine.mutation(waiting)["status"] == "delivered"
        status = daemon.status()
        assert (status["enabledProjectIds"], daemon.file.read_text()) == (["beta"], before)
        mutations = status["mutations"]
        assert isinstance(mutations, dict)
        assert mutations["pending"] == 1
    assert machine.settled(waiting)["status"] == "applied"
    assert daemon.file.read_text() == before + "\n[projects.alpha]\n"
    eventually(lambda: not machine.conditions())
    eventually(lambda: os.listdir(daemon.file.parent) == ["daemon.toml"])  # noqa: PTH208 - names are what is asked
