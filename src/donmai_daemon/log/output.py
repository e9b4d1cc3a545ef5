"""Where lines go: a stream of the process, and a file that is rotated."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from donmai_daemon.model.config import LogFormat
from donmai_daemon.model.json import Json

Line: TypeAlias = Mapping[str, Json]
"""One event: `timestamp`, `level`, `logger` where it has a name, `event`, then the fields."""

_JOURNAL_PRIORITY = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_HEAD = ("timestamp", "level", "logger", "event", "exception")
_PLAIN = re.compile(r"[^\s\"'=\x00-\x1f\x7f-\x9f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Stream(Protocol):
    """What a text stream of the process offers, as far as it is needed here."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


class Output(Protocol):
    """One place that every line goes to. Calls come one at a time."""

    def write(self, line: Line, style: LogFormat) -> None:
        """Raises `OSError` or `ValueError` (a closed stream) where it cannot."""
        ...

    def close(self) -> None: ...


class StreamOutput:
    """A stream that is not ours to close. With `journal`, each line begins with its priority (sd-daemon(3))."""

    def __init__(self, stream: Stream, journal: bool) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._journal = journal

    def write(self, line: Line, style: LogFormat) -> None:
        console = style == "console" or (style == "auto" and self._terminal)
        text = as_console(line, colours=self._terminal) if console else as_json(line)
        if self._journal:
            text = _JOURNAL_PRIORITY.get(str(line["level"]), "") + text
        self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """The stream stays open."""


class FileOutput:
    """A file of mode 0600. A line that would make it longer than `rotate_at` bytes begins a new one.

    The full file gets the ending `.1` and replaces the one that had it before. This process is the only writer.
    """

    def __init__(self, path: Path, rotate_at: int) -> None:
        self._path = path
        self._rotate_at = rotate_at
        self._descriptor = -1
        self._open()

    def write(self, line: Line, style: LogFormat) -> None:
        text = as_console(line, colours=False) if style == "console" else as_json(line)
        data = text.encode("utf-8", "replace") + b"\n"
        if self._size > 0 and self._size + len(data) > self._rotate_at:
            with contextlib.suppress(OSError):  # on a full disk a long file is better than none
                self._rotate()
        self._size += os.write(self._descriptor, data)

    def close(self) -> None:
        os.close(self._descriptor)

    def _rotate(self) -> None:
        with contextlib.suppress(
            FileNotFoundError
        ):  # taken away by a person, or by an attempt that failed half-way
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        full = self._descriptor
        self._open()
        os.close(full)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size


def as_json(line: Line) -> str:
    """One JSON object."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def as_console(line: Line, *, colours: bool) -> str:
    """Local to the eye: time of day, level, event, `key=value`; a traceback follows on lines of its own."""
    level = str(line["level"])
    moment = str(line["timestamp"])[11:-1]  # the date is the terminal's reader's own
    shown = f"{level:<8}"
    if colours:
        moment, shown = f"\x1b[2m{moment}\x1b[0m", f"\x1b[{_COLOURS.get(level, '0')}m{shown}\x1b[0m"
    name = f"{line['logger']}: " if "logger" in line else ""
    fields = "".join(f" {key}={_console_value(value)}" for key, value in line.items() if key not in _HEAD)
    text = f"{moment} {shown} {name}{_CONTROL.sub(' ', str(line['event']))}{fields}"
    return f"{text}\n{str(line['exception']).rstrip()}" if "exception" in line else text


def _console_value(value: Json) -> str:
    """Bare where it is one word; quoted as JSON otherwise, so that no value can forge a line or move the cursor."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: "".join(f"\\u{ord(character):04x}" for character in found[0]), quoted)
