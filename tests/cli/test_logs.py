"""The daemon's log: its end, and what comes after."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from tests.support.cli import COMMAND, donmai, environment

from donmai_daemon.cli import logs
from donmai_daemon.cli.logs import last_lines


@pytest.mark.parametrize("block", [1, 7, 65536])
@pytest.mark.parametrize("newline", ["", "\n"])
def test_the_last_lines_whatever_the_block(monkeypatch: pytest.MonkeyPatch, block: int, newline: str) -> None:
    """The end is read back in blocks, and the lines are whole wherever a block begins."""
    monkeypatch.setattr(logs, "_BLOCK", block)
    text = "\n".join(f"line {n} é" for n in range(20)) + newline
    log = io.BytesIO(text.encode())
    assert last_lines(log, 3) == ["line 17 é", "line 18 é", "line 19 é"]
    assert log.read() == b""
    assert last_lines(io.BytesIO(text.encode()), 100) == text.splitlines()
    assert last_lines(io.BytesIO(), 5) == []


def test_logs_print_the_end(tmp_path: Path) -> None:
    """`-n` says how many lines; control characters are harmless."""
    (tmp_path / "daemon.log").write_text("one\ntwo \x1b[2J\nthree\n")
    assert donmai(tmp_path, "host", "logs", "-n", "2", "--state-dir", str(tmp_path)) == (
        0,
        "two \\x1b[2J\nthree\n",
        "",
    )


def test_lines_are_readable_and_json_is_as_written(tmp_path: Path) -> None:
    """A JSON line is shown as time, level, event and fields, a traceback below it; `--json` shows the line itself."""
    line = (
        '{"timestamp":"2026-11-24T06:45:06.626Z","level":"warning","logger":"x","event":"file.missing","path":"/a b",'
        '"count":2,"id":"mut_1","forged":"\\u001b[2J","exception":"Traceback:\\n  line"}'
    )
    (tmp_path / "daemon.log").write_text(f"{line}\n")
    shown = donmai(tmp_path, "host", "logs", "--state-dir", str(tmp_path), TZ="UTC")
    raw = donmai(tmp_path, "host", "logs", "--json", "--state-dir", str(tmp_path))
    (tmp_path / "daemon.log").write_text('{"event": "no\xa0break\x9b"}\n')
    odd = donmai(tmp_path, "host", "logs", "--json", "--state-dir", str(tmp_path))
    assert shown.out == (
        '2026-11-24 06:45:06  warning  file.missing path="/a b" count=2 id=mut_1 forged="\\u001b[2J"\n'
        "    Traceback:\n      line\n"
    )
    assert raw.out == f"{line}\n"
    assert odd.out == '{"event": "no\\u00a0break\\u009b"}\n'


def test_no_log(tmp_path: Path) -> None:
    """Where there is no log file, the hint names the journal."""
    code, out, err = donmai(tmp_path, "host", "logs", "--state-dir", str(tmp_path))
    assert (code, out) == (1, "")
    assert err == (
        f"error: there is no log at {tmp_path}/daemon.log\n"
        "hint: under systemd the log is in the journal: journalctl -u donmai-daemon\n"
    )


def test_follow_survives_rotation(tmp_path: Path) -> None:
    """`-f` prints whole lines as they are written, also in the file that takes the old one's place."""
    log = tmp_path / "daemon.log"
    log.write_text("before\n")
    with subprocess.Popen(
        [*COMMAND, "host", "logs", "-f", "--state-dir", str(tmp_path)],
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        with log.open("a") as file:
            file.write("half ")
            file.flush()
            file.write("whole\n")
        assert process.stdout.readline() == "half whole\n"
        log.rename(tmp_path / "daemon.log.1")
        log.write_text("after\n")
        assert process.stdout.readline() == "after\n"
        process.terminate()
