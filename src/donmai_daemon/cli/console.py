"""The terminal as the verbs see it: text, tables, JSON, and errors of one line."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from donmai_daemon.errors import DonmaiError

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_WORDS = {
    "applied": "green", "online": "green", "ready": "green", "ok": "green",
    "pending": "yellow", "delivered": "yellow", "review": "yellow", "stale": "yellow", "warning": "yellow",
    "paused": "yellow", "draining": "yellow", "starting": "yellow",
    "failed": "red", "offline": "red", "error": "red", "stopped": "red",
    "cancelled": "dim", "info": "dim",
}  # fmt: skip
"""Words of state that carry their colour wherever they stand alone in a table."""


def clean(text: str) -> str:
    """`text` in one line and harmless on a terminal: whatever is not printable is shown as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class ReaderGone(Exception):  # noqa: N818 - conditions are named as conditions
    """Nobody reads what we write any more: the pipe is closed (`| head`), or the terminal is."""


class Console:
    """Where a verb writes. Colour and redrawing only on a terminal; `NO_COLOR` and `TERM=dumb` are honoured.

    Whatever writes raises `ReaderGone` where nobody reads any more.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.environ = environ
        self.interactive = stdout.isatty() and environ.get("TERM") != "dumb"
        """Standard output is a terminal that understands escape sequences."""
        self._coloured = self.interactive and not environ.get("NO_COLOR")

    def print(self, text: str = "") -> None:
        """One line, or several, on standard output. Text from outside must have gone through `clean`."""
        _write(self._stdout, text)

    def flush(self) -> None:
        """Hand over what others, argparse for one, have written. Raises `ReaderGone`."""
        _write(self._stdout, None)

    def screen(self, lines: Sequence[str], *, redraw: bool) -> None:
        """Lines that, with `redraw` and on a terminal, take the place of what was shown before them."""
        if redraw and self.interactive:
            self.print("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in "\n".join(lines).split("\n")) + "\x1b[J")
        else:
            self.print("\n".join(lines))

    def json(self, value: object, *, one_line: bool = False) -> None:
        """`value` as JSON on standard output: ASCII, so no text in it can steer a terminal."""
        import json

        self.print(json.dumps(value, indent=None if one_line else 2))

    def note(self, text: str) -> None:
        """A line on standard error, for what is not the answer."""
        _write(self._stderr, text)

    def error(self, error: DonmaiError) -> None:
        """`error: …` and, where there is one, `hint: …` on standard error."""
        self.note(f"error: {clean(error.message)}")
        if error.hint:
            self.note(f"hint: {clean(error.hint)}")

    def style(self, text: str, *names: str) -> str:
        """`text` in the styles named (bold, dim, red, green, yellow, cyan), or as it is where there is no colour."""
        if not self._coloured or not names:
            return text
        return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[0m"

    def state(self, word: str, width: int = 0) -> str:
        """A word of state in its own colour, padded to `width`."""
        style = _WORDS.get(word)
        padded = clean(word).ljust(width)
        return self.style(padded, style) if style else padded

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Labels and values in two columns; a pair without a value is left out."""
        shown = [(label, clean(value)) for label, value in pairs if value and value != "-"]
        width = max((len(label) for label, _ in shown), default=0)
        for label, value in shown:
            self.print(f"{self.style(label.ljust(width), 'dim')}  {self.state(value)}")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns under a header. The last one is cut at the edge of a terminal, and only there."""
        cells = [[clean(cell) for cell in row] for row in rows]
        widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
        columns = os.get_terminal_size(self._stdout.fileno()).columns if self.interactive else 0
        if columns:  # a terminal may not know its own size
            room = columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
            widths[-1] = max(len(header[-1]), min(widths[-1], room))
        self.print(self.style("  ".join(h.ljust(w) for h, w in zip(header, widths, strict=True)).rstrip(), "bold"))
        for row in cells:
            last = row[-1] if len(row[-1]) <= widths[-1] else row[-1][: widths[-1] - 1] + "…"
            parts = [self.state(cell, width) for cell, width in zip(row[:-1], widths, strict=False)]
            self.print("  ".join([*parts, self.state(last)]).rstrip())

    def diff(self, text: str) -> None:
        """A unified diff, coloured."""
        for line in text.splitlines():
            shown = clean(line.replace("\t", "    "))
            if line.startswith(("+++", "---")):
                self.print(self.style(shown, "bold"))
            elif line.startswith("@@"):
                self.print(self.style(shown, "cyan"))
            elif line.startswith("+"):
                self.print(self.style(shown, "green"))
            elif line.startswith("-"):
                self.print(self.style(shown, "red"))
            else:
                self.print(shown)


def _write(stream: TextIO, text: str | None) -> None:
    """Only here is an `OSError` about the stream; one from elsewhere, a failing disk say, must not look like it."""
    try:
        if text is not None:
            stream.write(text if text.endswith("\n") else text + "\n")
        stream.flush()
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EIO):
            raise ReaderGone from error
        raise
