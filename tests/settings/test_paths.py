"""Where the configuration file and the state directory are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from donmai_daemon.paths import StatePaths, config_path, state_directory


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    (directory / ".donmai").mkdir(parents=True)
    return directory


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Stands for /etc/donmai/daemon.toml; not there until a test writes it."""
    return tmp_path / "etc-daemon.toml"


def test_the_option_beats_the_variable(home: Path, system: Path) -> None:
    """`--config` wins over `DONMAI_CONFIG`, and that wins over what lies around."""
    (home / ".donmai" / "daemon.toml").touch()
    system.touch()
    environ = {"DONMAI_CONFIG": "/b.toml"}
    assert config_path("/a.toml", environ, home, system) == Path("/a.toml")
    assert config_path(None, environ, home, system) == Path("/b.toml")


def test_the_first_that_exists_is_used(home: Path, system: Path) -> None:
    """With nothing named, the home directory's file is used, else the system's."""
    own = home / ".donmai" / "daemon.toml"
    system.touch()
    assert config_path(None, {"DONMAI_CONFIG": ""}, home, system) == system
    own.touch()
    assert config_path(None, {}, home, system) == own


def test_a_dangling_symlink_counts_as_there(home: Path, system: Path) -> None:
    """A symlink whose target is not mounted yet is what its owner meant, so it is not passed over."""
    own = home / ".donmai" / "daemon.toml"
    own.symlink_to(home / "not-yet")
    system.touch()
    assert config_path(None, {}, home, system) == own


def test_a_person_gets_a_file_at_home(home: Path, system: Path) -> None:
    """With no file anywhere, the first change creates one in the home directory."""
    assert config_path(None, {}, home, system) == home / ".donmai" / "daemon.toml"
    user_unit = {"STATE_DIRECTORY": str(home / ".local/state/donmai")}
    assert config_path(None, user_unit, home, system) == home / ".donmai" / "daemon.toml"


def test_the_system_service_gets_a_file_in_etc(home: Path, system: Path) -> None:
    """Under systemd's system manager a missing file is created in /etc, never in the service user's home."""
    assert config_path(None, {"STATE_DIRECTORY": "/var/lib/donmai"}, home, system) == system


def test_named_paths_are_absolute(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative name is taken from where the command was given, and `~/` from the home directory."""
    monkeypatch.chdir(tmp_path)
    assert config_path("x.toml", {}, home) == tmp_path / "x.toml"
    assert config_path(None, {"DONMAI_CONFIG": "~/x.toml"}, home) == home / "x.toml"
    assert state_directory("state", {}, home) == tmp_path / "state"


def test_state_directory_precedence(home: Path) -> None:
    """Option, `DONMAI_STATE_DIR`, systemd's first directory, `DONMAI_STATE_HOME`, home: in this order."""
    environ = {"DONMAI_STATE_DIR": "/b", "STATE_DIRECTORY": "/c:/d", "DONMAI_STATE_HOME": "/e"}
    assert state_directory("/a", environ, home) == Path("/a")
    assert state_directory(None, environ, home) == Path("/b")
    del environ["DONMAI_STATE_DIR"]
    assert state_directory(None, environ, home) == Path("/c")
    environ["STATE_DIRECTORY"] = ""
    assert state_directory(None, environ, home) == Path("/e/.donmai")
    assert state_directory(None, {}, home) == home / ".donmai"


def test_state_paths_lie_in_the_directory() -> None:
    """Every file of the state directory has a name of its own, directly in it."""
    paths = StatePaths(Path("/s"))
    files = [
        paths.journal, paths.credentials, paths.control_token, paths.control_socket, paths.log, paths.last_good,
        paths.lock, paths.machine_id, paths.sessions,
    ]  # fmt: skip
    assert {file.parent for file in files} == {Path("/s")}
    assert len(set(files)) == len(files)


def test_importing_paths_is_cheap() -> None:
    """The command line can ask where files are without paying for dataclasses, asyncio or a TOML parser."""
    program = "import sys, donmai_daemon.paths; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")})  # fmt: skip
    assert not {"dataclasses", "asyncio", "tomllib", "inspect", "anyio"} & set(done.stdout.split())
