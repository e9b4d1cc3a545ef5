"""The log: lines, outputs, levels, and what must never be in it."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.support.clock import FakeClock

from donmai_daemon.footprint import OPTIONAL
from donmai_daemon.log import Logging, is_journal, masked, setup
from donmai_daemon.model.config import LogFormat, LogLevel

STAMP = "2026-11-24T06:00:00.000Z"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError


class Start:
    """`setup` with a clock that stands still, undone at the end of the test."""

    def __init__(self) -> None:
        self.running: list[Logging] = []

    def __call__(
        self,
        stream: io.StringIO,
        log_file: Path | None = None,
        level: LogLevel = "info",
        style: LogFormat = "auto",
        rotate_at: int = 1000,
        journal: bool = False,
    ) -> Logging:
        self.running.append(setup(level, style, stream, log_file, rotate_at, journal=journal, clock=FakeClock()))
        return self.running[-1]


@pytest.fixture
def start() -> Iterator[Start]:
    begin = Start()
    yield begin
    for running in begin.running:
        running.close()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(start: Start) -> None:
    """Time, level, name and event first, then the fields, on one line whatever they hold."""
    stream = io.StringIO()
    start(stream)
    structlog.get_logger("link").info("beat accepted", seq=3, text="a\nb", where=Path("/x"), ratio=float("nan"))
    assert stream.getvalue().count("\n") == 1
    (line,) = lines(stream)
    assert line == {
        "timestamp": STAMP, "level": "info", "logger": "link", "event": "beat accepted",
        "seq": 3, "text": "a\nb", "where": "/x", "ratio": "nan",
    }  # fmt: skip
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]


def test_a_terminal_gets_text_with_colours(start: Start) -> None:
    """A person reads words, and colours are for terminals only."""
    terminal, pipe = Terminal(), io.StringIO()
    start(terminal)
    structlog.get_logger().warning("beat failed", status=503, detail="a b")
    start(pipe, style="console")
    structlog.get_logger("link").warning("beat failed", status=503, detail="a b", none=None)
    assert (
        terminal.getvalue()
        == '\x1b[2m06:00:00.000\x1b[0m \x1b[33mwarning \x1b[0m beat failed status=503 detail="a b"\n'
    )
    assert pipe.getvalue() == '06:00:00.000 warning  link: beat failed status=503 detail="a b" none=null\n'


def test_a_terminal_gets_json_when_asked(start: Start) -> None:
    """`format = "json"` holds everywhere."""
    terminal = Terminal()
    start(terminal, style="json")
    structlog.get_logger().info("x")
    assert lines(terminal) == [{"timestamp": STAMP, "level": "info", "event": "x"}]


def test_no_value_can_forge_a_console_line(start: Start) -> None:
    """Line breaks and escape sequences from outside are shown, never sent to the terminal."""
    stream = io.StringIO()
    start(stream, style="console")
    structlog.get_logger().info("a\nb\x1b[2J", title="x\n06:00 error", other="\x1b[31m\x9b", nested=["\x7f"])
    assert stream.getvalue().count("\n") == 1
    assert not {"\x1b", "\x9b", "\x7f"} & set(stream.getvalue())


def test_levels_follow_a_change_for_bound_loggers_too(start: Start) -> None:
    """A reload of `[log]` reaches loggers that were bound before it."""
    stream = io.StringIO()
    running = start(stream)
    log = structlog.get_logger("x").bind(worker="w")
    log.debug("hidden")
    running.change("debug", "json")
    log.debug("shown")
    running.change("error", "json")
    log.warning("hidden")
    log.error("shown too")
    assert [line["event"] for line in lines(stream)] == ["shown", "shown too"]


def test_the_standard_library_is_heard_from_warnings_up(start: Start) -> None:
    """Libraries log the old way; their chatter is left out, their warnings arrive as lines of ours."""
    stream = io.StringIO()
    start(stream)
    logging.getLogger("some.library").info("HTTP Request: GET https://x")
    logging.getLogger("some.library").warning("Exceeded %d", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    first, second = lines(stream)
    assert (first["logger"], first["level"], first["event"]) == ("some.library", "warning", "Exceeded 3")
    assert second["logger"] == "py.warnings"
    assert "old way" in str(second["event"])


def test_exceptions_come_with_their_traceback(start: Start) -> None:
    """In JSON as one field of the one line, on the console below it."""
    stream, console = io.StringIO(), io.StringIO()
    start(stream)
    try:
        raise ValueError("bad rsk_live_0123456789abcdef")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("asyncio").exception("failed there")
        start(console, style="console")
        structlog.get_logger().error("failed", exc_info=True)
    for line in lines(stream):
        assert line["level"] == "error"
        assert "ValueError: bad ***" in str(line["exception"])
    assert console.getvalue().startswith("06:00:00.000 error    failed\nTraceback")
    assert console.getvalue().endswith("ValueError: bad ***\n")


def test_the_journal_learns_the_priority(start: Start) -> None:
    """Under systemd each line begins with the priority that `journalctl -p` filters by."""
    stream = io.StringIO()
    start(stream, level="debug", journal=True)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(structlog.get_logger(), level)("x")
    assert [line[:4] for line in stream.getvalue().splitlines()] == ["<7>{", "<6>{", "<4>{", "<3>{", "<2>{"]


def test_the_journal_is_told_from_a_redirection(tmp_path: Path) -> None:
    """The variable is inherited, so it must name the very descriptor."""
    with (tmp_path / "out").open("w") as file:
        status = os.fstat(file.fileno())
        assert is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, file.fileno())
        assert not is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"}, file.fileno())
        assert not is_journal({}, file.fileno())
        closed = file.fileno()
    assert not is_journal({"JOURNAL_STREAM": "1:1"}, closed)


def test_the_file_is_private_and_rotates(start: Start, tmp_path: Path) -> None:
    """Mode 0600, never longer than the limit, one old file kept, no line lost between the two."""
    path = tmp_path / "daemon.log"
    path.write_text("left by the run before\n")
    start(io.StringIO(), path, rotate_at=300)
    log = structlog.get_logger()
    for number in range(40):
        log.info("x", number=number)
        assert path.stat().st_size <= 300
    assert sorted(file.name for file in tmp_path.iterdir()) == ["daemon.log", "daemon.log.1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = [json.loads(text)["number"] for file in ("daemon.log.1", "daemon.log")
            for text in (tmp_path / file).read_text().splitlines()]  # fmt: skip
    assert kept == list(range(40 - len(kept), 40))
    assert len(kept) >= 4


def test_a_line_longer_than_the_limit_is_written_whole(start: Start, tmp_path: Path) -> None:
    """The limit moves files, it does not cut lines."""
    path = tmp_path / "daemon.log"
    start(io.StringIO(), path, rotate_at=10)
    structlog.get_logger().info("first")
    structlog.get_logger().info("second")
    assert json.loads(path.read_text())["event"] == "second"
    assert json.loads((tmp_path / "daemon.log.1").read_text())["event"] == "first"


def test_logging_goes_on_when_the_file_was_taken_away(start: Start, tmp_path: Path) -> None:
    """Someone deletes the log; the next rotation begins a new one."""
    path = tmp_path / "daemon.log"
    start(io.StringIO(), path, rotate_at=100)
    structlog.get_logger().info("first")
    path.unlink()
    structlog.get_logger().info("second", pad="x" * 100)
    assert json.loads(path.read_text())["event"] == "second"


def test_a_broken_stream_does_not_stop_the_file(start: Start, tmp_path: Path) -> None:
    """A terminal that went away costs its own lines, nothing else."""
    path = tmp_path / "daemon.log"
    start(Gone(), path)
    structlog.get_logger().info("x")
    assert json.loads(path.read_text())["event"] == "x"


@pytest.mark.parametrize(
    "name",
    ["token", "Authorization", "registration_token", "runtimeToken", "set-cookie", "client_secret", "password",
     "apiKey", "private_key", "runtimeJwt", "credentials"],
)  # fmt: skip
def test_secret_names_are_masked(name: str) -> None:
    """At any depth, in any of the spellings that headers, JSON and Python use."""
    assert masked(name, "x") == "***"
    assert masked("request", {"headers": [{name: ["x", 3]}]}) == {"headers": [{name: ["***", 3]}]}


@pytest.mark.parametrize(
    "name", ["token_file", "tokens_expire_at", "key", "cookies_seen", "authMode", "passwords_changed"]
)
def test_other_names_are_not_masked(name: str) -> None:
    """A path, a time or a count tells no secret."""
    assert masked(name, "x") == "x"
    assert masked("token", True) is True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("using rsk_live_0123456789abcdef now", "using *** now"),
        ("legacy rsp_live_0123456789abcdef", "legacy ***"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3In0.c2ln end", "jwt *** end"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("https://user:pw@host/path", "https://***@host/path"),
        ("/poll?token=abc&x=1", "/poll?token=***&x=1"),
        ("git@github.com:acme/alpha.git, 3 files", "git@github.com:acme/alpha.git, 3 files"),
        ("e" * 64, "e" * 64),
    ],
)
def test_secret_texts_are_masked_under_any_name(text: str, shown: str) -> None:
    """What looks like a token is one, wherever it turns up; a digest is none."""
    assert masked("detail", text) == shown


def test_secrets_are_masked_on_the_way_out(start: Start) -> None:
    """Fields, bound fields and the event itself pass through the mask."""
    stream = io.StringIO()
    start(stream)
    structlog.get_logger().bind(token="t0p").info("got Bearer t0p", error=ValueError("https://u:t0p@h/"))
    assert "t0p" not in stream.getvalue()


def test_what_is_not_needed_stays_out_of_the_process() -> None:
    """What is installed beside the daemon is not imported by the libraries that would; watchfiles is, for one."""
    program = """
import sys
from donmai_daemon.footprint import keep_out_optional_modules
keep_out_optional_modules(sys.modules)
import httpx, structlog, anyio, pydantic_settings, uvicorn
from donmai_daemon.log import setup
setup("info", "json", sys.stderr)
structlog.get_logger().info("still works")
async def main():
    async with httpx.AsyncClient() as client:
        try:
            await client.get("http://127.0.0.1:1")
        except httpx.ConnectError:
            pass
anyio.run(main)
print(*[name for name, module in sys.modules.items() if module is not None])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")})  # fmt: skip
    assert not set(OPTIONAL) & set(done.stdout.split())
    assert json.loads(done.stderr)["event"] == "still works"
