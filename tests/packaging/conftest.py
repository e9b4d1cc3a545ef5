"""A machine with a booted systemd and the packages of this checkout on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.nspawn import Machine, booted, debian
from tests.support.service import ROOT, build_newer_packages, build_packages


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make packages` makes, and in `newer` the .deb and the .rpm of a later version."""
    dist = tmp_path_factory.mktemp("dist")
    build_packages(dist)
    build_newer_packages(dist / "newer", tmp_path_factory.mktemp("later") / "checkout")
    return dist


@pytest.fixture(scope="module")
def machine(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A Debian machine with the packages in /root, for the tests of one file."""
    assert os.geteuid() == 0, "a container with systemd in it needs root"
    with booted(debian(ROOT / "build"), tmp_path_factory.mktemp("machine") / "root") as machine:
        shutil.copytree(packages, machine.root / "root", dirs_exist_ok=True)
        yield machine
