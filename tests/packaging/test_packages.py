"""What the build makes, looked at from the outside."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.support.service import build_packages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def built(place: Path) -> dict[str, bytes]:
    build_packages(place)
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    """Wheel, sdist, .deb, .rpm and single file are the same from the same commit, whenever they are built."""
    first, second = built(tmp_path / "a"), built(tmp_path / "b")
    assert sorted(path.rsplit(".", 1)[1] for path in first) == ["deb", "gz", "pyz", "rpm", "whl"]
    assert {name for name in first if first[name] != second[name]} == set()
    (wheel,) = (tmp_path / "a").glob("*.whl")
    assert "donmai_daemon/units/user/donmai-daemon.service" in zipfile.ZipFile(wheel).namelist()
    (sdist,) = (tmp_path / "a").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {
        "Makefile",
        "CHANGELOG.md",
        "config.example.toml",
        "packaging/artifacts.py",
        "systemd/backoff.conf",
    } <= names
    (single,) = (tmp_path / "a").glob("*.pyz")
    done = subprocess.run(
        [str(single), "--version"],
        env={"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("donmai "), done.stderr
