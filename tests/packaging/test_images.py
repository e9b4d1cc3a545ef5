"""The image recipes, carried out and run without a container engine."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.support.containerfile import build, running
from tests.support.nspawn import debian
from tests.support.service import ROOT, build_packages
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a recipe may copy: the wheel, as `make packages` leaves it, and the packaging directory."""
    assert os.geteuid() == 0, "chroot takes root"
    place = tmp_path_factory.mktemp("context")
    build_packages(place / "dist", "python")
    shutil.copytree(ROOT / "packaging", place / "packaging")
    return place


def test_the_daemon_runs_in_its_container(context: Path, tmp_path: Path) -> None:
    """Not root, on a read-only file system: healthy, its configuration changed by a command, ended in order by TERM."""
    archive = debian(ROOT / "build")
    image = build(context / "packaging/Containerfile", context, archive, tmp_path / "stages")
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    with running(image, {}, volumes, tmp_path / "out") as container:
        eventually(
            lambda: bool(container.first) and container.exec(*image.healthcheck).returncode == 0,
            every=0.2,
            said=(tmp_path / "out").read_text,
        )
        ids = Path(f"/proc/{container.first}/status").read_text()
        assert "Uid:\t7734\t7734\t7734\t7734" in ids
        assert "Read-only" in container.exec("touch", "/usr/lib/donmai/x").stderr
        changed = container.exec(
            *("donmai", "host", "project", "allow", "demo", "https://github.com/acme/demo.git")
        )
        assert changed.returncode == 0, changed.stderr
        assert "projects.demo" in container.exec("cat", "/etc/donmai/daemon.toml").stdout
        os.kill(container.first, 15)
        assert container.process.wait(30) == 0, (tmp_path / "out").read_text()
    assert "Traceback" not in (tmp_path / "out").read_text()


def test_the_sandbox_runs_one_session_and_nothing_else(context: Path, tmp_path: Path) -> None:
    """Its entry point is `donmai agent run`: told no agent command it ends with 2 and says so in one line of JSON."""
    archive = debian(ROOT / "build")
    image = build(context / "packaging/Sandbox.Containerfile", context, archive, tmp_path / "stages")
    assert image.entrypoint[:3] == ["donmai", "agent", "run"]
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    out = tmp_path / "out"
    environ = {
        "DONMAI_SESSION_ID": "ses_1",
        "DONMAI_DAEMON_URL": "http://127.0.0.1:9",
        "DONMAI_RUNTIME_JWT": "a.b.c",
    }
    with running(image, environ, volumes, out) as container:
        assert container.process.wait(60) == 2, out.read_text()
    (line,) = [line for line in out.read_text().splitlines() if line.startswith("{")]
    said = json.loads(line)
    assert (said["sessionId"], said["error"]) == ("ses_1", "no agent command")
