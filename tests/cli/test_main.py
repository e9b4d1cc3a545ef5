"""The entry point: exit codes, help, and what is not imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cli import COMMAND, ScriptedServer, answer, donmai, environment

from donmai_daemon import __version__

HEAVY = {
    "anyio",
    "asyncio",
    "dataclasses",
    "http.client",
    "httpx",
    "pydantic",
    "pydantic_settings",
    "structlog",
    "tomllib",
    "tomlkit",
}


def modules_after(home: Path, *argv: str) -> set[str]:
    """What is imported when `argv` has run."""
    program = "import sys; from donmai_daemon.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, *argv],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


def test_version_is_one_line(tmp_path: Path) -> None:
    """`--version` says name and version and exits 0."""
    assert donmai(tmp_path, "--version") == (0, f"donmai {__version__}\n", "")


def test_version_imports_nothing(tmp_path: Path) -> None:
    """`--version` pays for no module beyond the interpreter's own and the entry point."""
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    added = modules_after(tmp_path, "--version") - set(bare.stdout.split())
    assert added == {"__future__", "donmai_daemon", "donmai_daemon.cli", "donmai_daemon.cli.main"}


def test_status_imports_nothing_heavy(tmp_path: Path) -> None:
    """`host status` keeps to its 100 ms: no event loop, no HTTP library, no validation, no logging library."""
    (tmp_path / ".donmai").mkdir()
    with ScriptedServer(lambda _: answer(200, {"status": "ready"}), tmp_path / ".donmai" / "control.sock"):
        assert modules_after(tmp_path, "host", "status").isdisjoint(HEAVY)


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_lists_the_groups(tmp_path: Path, flag: str) -> None:
    """The help names every group, and not the hidden alias."""
    code, out, err = donmai(tmp_path, flag)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")][:5] == [
        "dev", "host", "mutation", "platform", "agent",
    ]  # fmt: skip
    assert "\n  daemon" not in out


def test_no_command_is_a_usage_error(tmp_path: Path) -> None:
    """Without a command the help goes to standard error, exit 2."""
    code, out, err = donmai(tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("usage: donmai GROUP VERB")


@pytest.mark.parametrize("argv", [("host",), ("host", "config"), ("host", "mutations"), ("mutation",)])
def test_no_verb_is_a_usage_error(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A group without a verb shows its own help on standard error, exit 2."""
    code, out, err = donmai(tmp_path, *argv)
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: donmai {' '.join(argv)} ")


def test_unknown_command_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """A misspelt group is one line and a hint, exit 2."""
    assert donmai(tmp_path, "mutaton", "list") == (
        2, "", "error: no such command: mutaton\nhint: did you mean: donmai mutation\n",
    )  # fmt: skip
    assert donmai(tmp_path, "zzz").err == "error: no such command: zzz\nhint: see: donmai --help\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("host", "statis"),
        ("host", "status", "--jason"),
        ("host", "status", "--js"),
        ("host", "status", "--port", "70000"),
        ("host", "logs", "-n", "0"),
        ("mutation", "list", "--limit", "501"),
        ("mutation", "cancel"),
        ("dev", "--port", "x"),
    ],
)
def test_wrong_arguments_are_usage_errors(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Wrong arguments are one line with a hint, exit 2; options are never guessed from a beginning."""
    code, out, err = donmai(tmp_path, *argv)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith(f"hint: see: donmai {argv[0]}")
    assert second.endswith(" --help")


def test_daemon_is_an_alias_of_host(tmp_path: Path) -> None:
    """`donmai daemon` is `donmai host`."""
    assert donmai(tmp_path, "daemon", "status", "--state-dir", "none") == donmai(
        tmp_path, "host", "status", "--state-dir", "none"
    )


@pytest.mark.parametrize(
    "argv",
    [("dev",), ("mutation", "enqueue"), ("mutation", "list"), ("mutation", "cancel")]
    + [
        ("host", verb)
        for verb in ("run", "status", "stats", "doctor", "logs", "reload", "pause", "resume", "stop", "restart")
    ]
    + [
        ("host", "config", "check"),
        ("host", "config", "show"),
        ("host", "mutations", "list"),
        ("host", "mutations", "show"),
    ],
    ids=" ".join,
)
def test_every_verb_explains_itself(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Every verb has a help of its own; every host verb takes --host, --port and --state-dir."""
    code, out, err = donmai(tmp_path, *argv, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: donmai {' '.join(argv)}")
    if argv[0] == "host":
        assert all(option in out for option in ("--host H", "--port N", "--state-dir D"))


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """A closed pipe on standard output ends the command quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*COMMAND, "--help"],
            env=environment(tmp_path),
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_process_without_standard_streams(tmp_path: Path) -> None:
    """Started with its standard output and error closed, a command still does what it is for."""
    program = f'exec "{sys.executable}" -m donmai_daemon host status --state-dir none >&- 2>&-'
    done = subprocess.run(["sh", "-c", program], env=environment(tmp_path), cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 1


def test_a_failing_disk_is_not_a_closed_pipe(tmp_path: Path) -> None:
    """An I/O error that is not about our output is not taken for a reader that has gone: the exit code is not 0."""
    program = (
        "import errno, sys\nfrom donmai_daemon.cli import dispatch\nfrom donmai_daemon.cli.main import main\n"
        "def broken(argv, console): raise OSError(errno.EIO, 'Input/output error')\n"
        "dispatch.dispatch = broken\nsys.exit(main(['host', 'status']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1


def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    """SIGINT while watching ends with 130 and without a traceback."""
    (tmp_path / "state").mkdir()
    with (
        ScriptedServer(lambda _: answer(200, {"status": "ready"}), tmp_path / "state" / "control.sock"),
        subprocess.Popen(
            [*COMMAND, "host", "status", "--watch", "--json", "--state-dir", "state"],
            env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"status": "ready"}
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_text_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    """Where the locale knows only ASCII, a command escapes what it cannot print instead of failing."""
    (tmp_path / "state").mkdir()
    script = answer(200, {"status": "ready", "config": {"path": "/é.toml", "valid": True}})
    with ScriptedServer(lambda _: script, tmp_path / "state" / "control.sock"):
        code, out, err = donmai(
            tmp_path, "host", "status", "--state-dir", "state", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
        )
    assert (code, err) == (0, "")
    assert "/\\xe9.toml" in out
