"""Text on a terminal and off it."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import termios
from collections.abc import Callable

import pytest

from donmai_daemon.cli.console import Console, clean
from donmai_daemon.errors import DonmaiError


def on_terminal(draw: Callable[[Console], None], columns: int = 80, **environ: str) -> str:
    """What `draw` puts on a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with open(theirs, "w") as stream:  # noqa: PTH123 - a descriptor, not a path
        draw(Console(stream, stream, {"TERM": "xterm", **environ}))
    shown = b""
    with contextlib.suppress(OSError):  # EIO is a terminal's end of file
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def plain() -> tuple[Console, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Console(out, err, {"TERM": "xterm"}), out, err


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("plain text, ümläut", "plain text, ümläut"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_text_from_outside_cannot_steer_the_terminal(text: str, harmless: str) -> None:
    """Control characters of either set, line ends and direction marks are shown as their escapes."""
    assert clean(text) == harmless


def test_no_colour_off_a_terminal() -> None:
    """What goes into a file or a pipe carries no escape sequence."""
    console, out, _ = plain()
    console.print(console.style("bold", "bold") + console.state("failed"))
    console.diff("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n")
    console.screen(["a", "b"], redraw=True)
    assert "\x1b" not in out.getvalue()


def test_colour_on_a_terminal() -> None:
    """On a terminal a word of state has its colour."""
    assert on_terminal(lambda console: console.print(console.state("failed"))) == "\x1b[31mfailed\x1b[0m\n"


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_refused(environ: dict[str, str]) -> None:
    """NO_COLOR and a dumb terminal get plain text."""
    assert on_terminal(lambda console: console.print(console.state("failed")), 80, **environ) == "failed\n"


def test_an_empty_no_color_refuses_nothing() -> None:
    """An empty NO_COLOR counts as unset, as its convention says."""
    shown = on_terminal(lambda console: console.print(console.style("x", "bold")), NO_COLOR="")
    assert shown == "\x1b[1mx\x1b[0m\n"


def test_table_is_aligned_and_whole_off_a_terminal() -> None:
    """Columns line up, nothing is cut, and lines do not end in blanks."""
    console, out, _ = plain()
    console.table(("ID", "STATE", "ABOUT"), [("mut_1", "applied", "x" * 200), ("mut_200", "failed", "")])
    assert out.getvalue() == f"ID       STATE    ABOUT\nmut_1    applied  {'x' * 200}\nmut_200  failed\n"


def test_table_fits_the_terminal() -> None:
    """On a terminal the last column is cut at the edge and says so."""
    rows = [("mut_1", "x" * 100), ("mut_2", "short")]
    shown = on_terminal(lambda console: console.table(("ID", "ABOUT"), rows), 30, NO_COLOR="1")
    assert shown == f"ID     ABOUT\nmut_1  {'x' * 22}…\nmut_2  short\n"


def test_table_on_a_terminal_without_a_size() -> None:
    """A terminal that reports no width gets everything."""
    rows = [("mut_1", "x" * 100)]
    shown = on_terminal(lambda console: console.table(("ID", "ABOUT"), rows), 0, NO_COLOR="1")
    assert shown == f"ID     ABOUT\nmut_1  {'x' * 100}\n"


def test_table_cells_are_one_line() -> None:
    """A line end inside a cell does not break the table."""
    console, out, _ = plain()
    console.table(("A", "B"), [("x\ny", "z")])
    assert out.getvalue() == "A     B\nx\\ny  z\n"


def test_fields_leave_out_what_is_unknown() -> None:
    """Labels line up; a pair without a value is not shown."""
    console, out, _ = plain()
    console.fields([("State", "applied"), ("Error", ""), ("Settled at", "now"), ("Acked", "-")])
    assert out.getvalue() == "State       applied\nSettled at  now\n"


def test_error_is_one_line_and_a_hint() -> None:
    """Errors go to standard error, one line each for what and what to do."""
    console, out, err = plain()
    console.error(DonmaiError("it is\nbroken", hint="mend it"))
    console.error(DonmaiError("no hint"))
    assert out.getvalue() == ""
    assert err.getvalue() == "error: it is\\nbroken\nhint: mend it\nerror: no hint\n"


def test_json_is_ascii() -> None:
    """JSON cannot steer a terminal either."""
    console, out, _ = plain()
    console.json({"a": "ü\x9b"}, one_line=True)
    assert out.getvalue() == '{"a": "\\u00fc\\u009b"}\n'


def test_screen_is_redrawn_in_place_on_a_terminal() -> None:
    """Redrawing starts at the top, clears what is left of each line and everything below."""
    shown = on_terminal(lambda console: console.screen(["one", "two\nthree"], redraw=True))
    assert shown == "\x1b[Hone\x1b[K\ntwo\x1b[K\nthree\x1b[K\n\x1b[J\n"


def test_diff_is_coloured_by_line() -> None:
    """Added and removed lines differ in colour; control characters in them are harmless."""
    text = "--- a\n+++ b\n@@ -1 +1 @@\n same\n-x\n+y\x1b[2J\n"
    assert on_terminal(lambda console: console.diff(text)).split("\n")[:-1] == [
        "\x1b[1m--- a\x1b[0m",
        "\x1b[1m+++ b\x1b[0m",
        "\x1b[36m@@ -1 +1 @@\x1b[0m",
        " same",
        "\x1b[31m-x\x1b[0m",
        "\x1b[32m+y\\x1b[2J\x1b[0m",
    ]
