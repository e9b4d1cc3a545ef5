"""What the build makes, looked at from the outside."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def only(place: Path, pattern: str) -> Path:
    (found,) = place.glob(pattern)
    return found


def test_there_is_one_of_each_kind(packages: Path) -> None:
    """One command makes wheel, sdist, .deb, .rpm and single file."""
    kinds = sorted(path.suffix for path in packages.iterdir() if path.is_file())
    assert kinds == [".deb", ".gz", ".pyz", ".rpm", ".whl"]


def test_wheel_and_sdist_are_complete(packages: Path) -> None:
    """The wheel has what `host install` writes, the sdist what packages are made of."""
    names = zipfile.ZipFile(only(packages, "*.whl")).namelist()
    assert "donmai_daemon/units/user/donmai-daemon.service" in names
    with tarfile.open(only(packages, "*.tar.gz")) as archive:
        sources = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {
        "Makefile",
        "CHANGELOG.md",
        "config.example.toml",
        "packaging/artifacts.py",
        "systemd/backoff.conf",
    } <= sources


def test_the_single_file_runs_by_itself(packages: Path, tmp_path: Path) -> None:
    """With a Python of its minor version and an empty home it says its version, and shows what it would install."""
    single = str(only(packages, "*.pyz"))
    environ = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    version = subprocess.run([single, "--version"], env=environ, check=True, capture_output=True, text=True)
    assert version.stdout.startswith("donmai ")
    install = [single, "host", "install", "--user", "--dry-run"]
    shown = subprocess.run(install, env=environ, check=True, capture_output=True, text=True)
    assert f"{tmp_path}/.config/systemd/user/donmai-daemon.service" in shown.stdout
