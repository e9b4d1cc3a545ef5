"""`donmai host install`: what would be done, on each system, to the letter; and that doing it twice is doing it once."""

from __future__ import annotations

import os
import plistlib
import stat
import sys
from pathlib import Path

import pytest

from donmai_daemon.cli import install_launchd, install_systemd
from donmai_daemon.cli.install import Site
from donmai_daemon.cli.install_steps import Command, MakeDirectory, RemoveFile, SeedFile, Step, WriteFile
from donmai_daemon.errors import InstallationFailed

GOLDEN = Path(__file__).parent / "golden"
UNITS = Path(__file__).parents[2] / "systemd"


def site(root: Path, **changes: object) -> Site:
    """A machine that has nothing of ours yet; `root` stands for its `/`."""
    plain = Site(
        program=("/opt/donmai/bin/donmai",),
        options=(),
        interpreter="/usr/bin/python3.11",
        home=root / "Users/ada",
        uid=501,
        environ={"SUDO_USER": "ada"},
        home_of=lambda user: _home_of(user, root),
        root=root,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]  # each caller names a field and its own type


def _home_of(user: str, root: Path) -> Path:
    if user != "ada":
        raise RuntimeError(user)
    return root / "Users" / user


def listed(steps: list[Step], root: Path) -> str:
    """What `--dry-run` shows, without the place where this test lives."""
    return "".join(f"{step.plan()}\n".replace(str(root), "") for step in steps)


def golden(name: str, text: str) -> None:
    """Compare with the file that was looked at by a person. `DONMAI_GOLDEN=write` writes it anew."""
    path = GOLDEN / name
    if os.environ.get("DONMAI_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` and a `launchctl` that write down how they were called; the only thing here that is not real."""
    calls = tmp_path / "calls"
    calls.write_text("")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("systemctl", "launchctl"):
        tool = tools / name
        tool.write_text(
            f'#!/bin/sh\ntest "$1" != --version || exec echo "systemd 255"\necho "{name} $*" >>{calls}\n'
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return calls


@pytest.mark.parametrize("verb", ["install_user", "uninstall_user", "install_system", "uninstall_system"])
@pytest.mark.parametrize("module", [install_systemd, install_launchd], ids=["systemd", "launchd"])
def test_every_plan_is_the_one_looked_at(module: object, verb: str, tmp_path: Path, manager: Path) -> None:
    """The steps of each verb on each system are those of its golden file."""
    plan = getattr(module, verb)
    system = "launchd" if module is install_launchd else "systemd"
    golden(f"{system}-{verb.replace('_', '-')}.txt", listed(plan(site(tmp_path)), tmp_path))
    assert manager.read_text() == ""


def test_a_user_service_is_installed_once_and_removed_once(tmp_path: Path, manager: Path) -> None:
    """A second installation writes nothing, removal takes the unit and the cached token, the configuration stays."""
    machine = site(tmp_path)
    config, credentials = (machine.home / ".donmai" / name for name in ("daemon.toml", "credentials.json"))
    config.parent.mkdir(parents=True)
    config.write_text("# mine\n")
    credentials.write_text("{}")
    first = [step.perform() for step in install_systemd.install_user(machine)]
    unit = machine.home / ".config/systemd/user/donmai-daemon.service"
    assert f"wrote  {unit}" in first
    assert "ExecStart=/opt/donmai/bin/donmai host run\n" in unit.read_text()
    again = [step.perform() for step in install_systemd.install_user(machine)]
    assert not [line for line in again if line.startswith("wrote")]
    for _ in range(2):
        for step in install_systemd.uninstall_user(machine):
            step.perform()
        assert not unit.exists()
        assert not unit.with_name(f"{unit.name}.d").exists()
        assert not credentials.exists()
        assert config.read_text() == "# mine\n"
    assert "systemctl --user enable --now donmai-daemon.service\n" in manager.read_text()


@pytest.mark.parametrize("verb", ["uninstall_user", "uninstall_system"])
@pytest.mark.parametrize("module", [install_systemd, install_launchd], ids=["systemd", "launchd"])
def test_the_cached_token_goes_from_where_it_is(module: object, verb: str, tmp_path: Path, manager: Path) -> None:
    """`--state-dir` names where the daemon kept it; the token in the default directory is then another daemon's."""
    named, usual = tmp_path / "named", tmp_path / "Users/ada/.donmai"
    for directory in (named, usual):
        directory.mkdir(parents=True)
        (directory / "credentials.json").write_text("{}")
    for step in getattr(module, verb)(site(tmp_path, state=named)):
        step.perform()
    assert (list(named.iterdir()), len(list(usual.iterdir()))) == ([], 1)
    assert "disable" in manager.read_text() or "bootout" in manager.read_text()


def test_waits_that_grow_need_a_systemd_that_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before systemd 254 no drop-in is written: its keys would be warned of at every start."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text('#!/bin/sh\necho "systemd 252 (252.39-1~deb12u2)"\n')
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    assert "backoff" not in listed(install_systemd.install_user(site(tmp_path)), tmp_path)


# launchd.plist(5): what each key that we use must be.
LAUNCHD = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "WorkingDirectory": str,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "Umask": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "UserName": str,
}


@pytest.mark.parametrize("user", [None, "ada"])
def test_the_property_list_is_one_that_launchd_takes(user: str | None, tmp_path: Path) -> None:
    """Every key is one of launchd.plist(5) with the type it has there, and a drain fits into the exit timeout."""
    job = plistlib.loads(install_launchd.job(site(tmp_path), user).encode())
    assert {key: type(value) for key, value in job.items()} == {key: LAUNCHD[key] for key in job}
    assert all(isinstance(word, str) for word in job["ProgramArguments"])
    assert Path(job["ProgramArguments"][0]).is_absolute()
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert job["ExitTimeOut"] > 600
    assert job.get("UserName") == user


def test_options_are_part_of_the_service(tmp_path: Path) -> None:
    """What was given to `install` is given to every call of the service, quoted as systemd reads it back."""
    text = listed(install_systemd.install_user(site(tmp_path, options=("--state-dir", 'a "b" $c %d'))), tmp_path)
    assert r'ExecStart=/opt/donmai/bin/donmai host run --state-dir "a \"b\" $$c %%d"' in text
    assert r'ExecReload=/opt/donmai/bin/donmai host reload --state-dir "a \"b\" $$c %%d"' in text


def test_a_program_in_a_home_directory_is_no_system_service(tmp_path: Path) -> None:
    """The unit hides home directories, so a program or interpreter there is refused before anything is done."""
    for changes in ({"program": ("/home/ada/.local/bin/donmai",)}, {"interpreter": "/root/.pyenv/bin/python"}):
        with pytest.raises(InstallationFailed, match="does not see"):
            install_systemd.install_system(site(tmp_path, **changes))


def test_a_packaged_unit_is_the_packages_own(tmp_path: Path) -> None:
    """With the system package there, installing only enables its unit, and uninstalling names the package."""
    unit = tmp_path / "usr/lib/systemd/system/donmai-daemon.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert not [s for s in install_systemd.install_system(site(tmp_path)) if isinstance(s, WriteFile)]
    with pytest.raises(InstallationFailed, match="package") as refusal:
        install_systemd.uninstall_system(site(tmp_path))
    assert refusal.value.hint is not None


def test_a_job_of_the_machine_never_runs_sessions_as_root(tmp_path: Path) -> None:
    """On macOS the machine's job runs as who called sudo; root itself is refused."""
    with pytest.raises(InstallationFailed, match="root"):
        install_launchd.install_system(site(tmp_path, environ={"SUDO_USER": "root"}))
    with pytest.raises(InstallationFailed, match="no user"):
        install_launchd.install_system(site(tmp_path, environ={"SUDO_USER": "no-such-user-here"}))


def test_a_seed_never_touches_a_file_that_is_there(tmp_path: Path) -> None:
    """The first version is written with its mode; whatever is there afterwards stays, a dangling symlink too."""
    import pwd

    me = pwd.getpwuid(os.geteuid()).pw_name
    seed = SeedFile(tmp_path / "daemon.toml", "# first\n", 0o640, me)
    assert seed.perform().startswith("wrote")
    assert stat.S_IMODE(seed.path.stat().st_mode) == 0o640
    seed.path.write_text("# mine\n")
    assert seed.perform().startswith("kept")
    assert seed.path.read_text() == "# mine\n"
    seed.path.unlink()
    seed.path.symlink_to(tmp_path / "elsewhere")
    assert seed.plan().startswith("keep")
    assert seed.perform().startswith("kept")


def test_steps_say_why_they_failed(tmp_path: Path) -> None:
    """A step that cannot be done names what it was about, and the reason in the system's own words."""
    (tmp_path / "file").touch()
    failing: list[Step] = [
        WriteFile(tmp_path / "file" / "below", "text"),
        MakeDirectory(tmp_path / "file" / "below", 0o755),
        RemoveFile(tmp_path),
        Command(("donmai-no-such-program",)),
        Command((sys.executable, "-c", "import sys; sys.exit('out of order')")),
    ]
    messages = []
    for step in failing:
        with pytest.raises(InstallationFailed) as failure:
            step.perform()
        messages.append(failure.value.message)
    assert "cannot be written" in messages[0]
    assert "Not a directory" in messages[1]
    assert "cannot be removed" in messages[2]
    assert "not installed" in messages[3]
    assert messages[4].endswith("out of order")
    assert Command((sys.executable, "-c", "import sys; sys.exit(1)"), may_fail=True).perform().startswith("ran")
