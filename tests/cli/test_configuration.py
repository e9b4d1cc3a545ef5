"""`config check`, `config show` and `doctor`: files read without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import anyio.to_thread
import pytest
from tests.support.cli import Finished, donmai
from tests.support.control import surface

GOOD = """\
[platform]
url = "https://platform.test"
tokn_file = "x"

[projects.alpha]
repositories = ["https://github.com/acme/alpha.git"]
"""
PASSWORD = GOOD.replace("https://github", "https://someone:hunter2@github")
BAD = '[capacity]\n\nmax_sessions = "many"\n'


def config(home: Path, verb: str, text: str | None, *argv: str, **extra: str) -> Finished:
    """`donmai host config VERB --config FILE` on a file with this text."""
    path = home / "daemon.toml"
    if text is not None:
        path.write_text(text)
    return donmai(home, "host", "config", verb, "--config", str(path), *argv, **extra)


def test_check_of_a_good_file(tmp_path: Path) -> None:
    """A good file is exit 0; a key that nothing reads is a warning with its line."""
    code, out, err = config(tmp_path, "check", GOOD)
    assert (code, err) == (0, "")
    warning, verdict = out.splitlines()
    assert warning.startswith('warning: unknown key "platform.tokn_file" (line 3)')
    assert "token_file" in warning
    assert verdict == f"{tmp_path}/daemon.toml: valid, 1 warning"


def test_check_names_the_place(tmp_path: Path) -> None:
    """A wrong value is exit 1, with file, line, column and key."""
    code, out, err = config(tmp_path, "check", BAD)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {tmp_path}/daemon.toml: line 3, column 1: capacity.max_sessions: ")


def test_check_as_json(tmp_path: Path) -> None:
    """A verdict is an answer: JSON on standard output whether it is good or bad, and the exit code says which."""
    code, out, err = config(tmp_path, "check", BAD, "--json")
    verdict = json.loads(out)
    assert (code, err, verdict["valid"]) == (1, "", False)
    assert (verdict["errors"][0]["line"], verdict["errors"][0]["key"]) == (3, "capacity.max_sessions")
    code, out, _ = config(tmp_path, "check", GOOD, "--json")
    assert (code, json.loads(out)["valid"], len(json.loads(out)["warnings"])) == (0, True, 1)


def test_check_of_a_syntax_error(tmp_path: Path) -> None:
    """What is not TOML is refused with line and column too."""
    code, _, err = config(tmp_path, "check", "[capacity]\nmax_sessions = \n")
    assert code == 1
    assert err.startswith(f"error: {tmp_path}/daemon.toml: line 2, column ")
    assert err.endswith("\nhint: correct it there; until then the daemon goes by the last good configuration\n")


def test_check_sees_the_environment(tmp_path: Path) -> None:
    """A wrong override is found as the daemon would find it."""
    code, _, err = config(tmp_path, "check", GOOD, DONMAI_CAPACITY__MAX_SESSIONS="many")
    assert code == 1
    assert "DONMAI_CAPACITY__MAX_SESSIONS" in err


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    """A path that was typed and leads nowhere is an error; none at the usual places is not."""
    assert config(tmp_path, "check", None) == (1, "", f"error: there is no file at {tmp_path}/daemon.toml\n")
    code, out, _ = donmai(tmp_path, "host", "config", "check", DONMAI_CONFIG=str(tmp_path / "x.toml"))
    assert (code, out) == (0, f"{tmp_path}/x.toml: not there; the daemon starts from defaults\n")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Whatever the system says is passed on in one line."""
    assert donmai(tmp_path, "host", "config", "show", "--config", str(tmp_path)) == (
        1, "", f"error: {tmp_path} cannot be read: Is a directory\n",
    )  # fmt: skip


def test_show_names_every_source(tmp_path: Path) -> None:
    """Every effective value is shown with where it came from; a password in a URL is not."""
    code, out, err = config(tmp_path, "show", PASSWORD, DONMAI_CAPACITY__MAX_SESSIONS="5")
    assert (code, err) == (0, "")
    rows = [line.split(maxsplit=2) for line in out.splitlines()]
    assert rows[0] == [f"{tmp_path}/daemon.toml"]
    assert ["capacity.max_sessions", "environment", "5"] in rows
    assert ["platform.url", "file", '"https://platform.test"'] in rows
    assert ["heartbeat.interval_seconds", "default", "30.0"] in rows
    assert "projects.alpha" in out
    assert "hunter2" not in out


def test_show_as_json(tmp_path: Path) -> None:
    """The same for a script."""
    code, out, _ = config(tmp_path, "show", GOOD, "--json")
    shown = json.loads(out)
    assert (code, shown["exists"]) == (0, True)
    assert shown["values"]["platform"]["url"] == "https://platform.test"
    assert shown["sources"]["platform.url"] == "file"


def test_show_of_a_bad_file(tmp_path: Path) -> None:
    """There are no effective values of a file that is refused."""
    code, out, err = config(tmp_path, "show", BAD)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {tmp_path}/daemon.toml: line 3, column 1: ")


def test_doctor_without_a_daemon(tmp_path: Path) -> None:
    """A daemon that does not run is a finding like any other, and exit 1."""
    code, out, err = donmai(tmp_path, "host", "doctor", "--state-dir", str(tmp_path / "state"))
    assert (code, err) == (1, "")
    assert [line.split()[:2] for line in out.splitlines() if not line.startswith(" ")] == [
        ["ok", "config-file"],
        ["ok", "state-directory"],
        ["error", "daemon"],
    ]
    assert "start it with: donmai host run" in out


def test_doctor_finds_what_is_open_to_others(tmp_path: Path) -> None:
    """A state directory and a control token that other users can read are errors, with the command that mends them."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    (state / "control-token").write_text("")
    (state / "control-token").chmod(0o644)
    code, out, _ = donmai(tmp_path, "host", "doctor", "--json", "--state-dir", str(state))
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == 1
    assert checks["state-directory"]["hint"] == f"chmod 700 {state}"
    assert checks["control-token"]["hint"] == f"chmod 600 {state}/control-token"


@pytest.mark.anyio
async def test_doctor_passes_on_what_the_daemon_finds(tmp_path: Path) -> None:
    """With a daemon its own examination follows; warnings alone are exit 0."""
    async with surface(tmp_path):
        code, out, _ = await anyio.to_thread.run_sync(
            lambda: donmai(tmp_path, "host", "doctor", "--state-dir", str(tmp_path))
        )
    lines = out.splitlines()
    assert f"ok       daemon           answers at {tmp_path}/control.sock" in lines
    assert "ok       registration     registered as wkr_1" in lines
    assert "warning  clock            the clock is 40 s ahead" in lines
    assert code == 0
