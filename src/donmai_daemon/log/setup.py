"""Setting logging up, once a process."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TypeAlias

import structlog

from donmai_daemon.clock import Clock, SystemClock, rfc3339
from donmai_daemon.log.masking import masked, masked_text
from donmai_daemon.log.output import FileOutput, Output, Stream, StreamOutput
from donmai_daemon.model.config import LogFormat, LogLevel
from donmai_daemon.model.json import Json

ROTATE_AT_BYTES = 10 * 1024 * 1024

Fields: TypeAlias = MutableMapping[str, object]

_CLOCK = SystemClock()
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Logging:
    """The set-up in force."""

    def __init__(self, level: LogLevel, style: LogFormat, outputs: Sequence[Output], clock: Clock) -> None:
        self._outputs = outputs
        self._clock = clock
        self._lock = threading.Lock()  # threads log too, and lines must not mix
        self.change(level, style)

    def change(self, level: LogLevel, style: LogFormat) -> None:
        """Take on what `[log]` says now."""
        self._threshold = _LEVELS[level]
        self._style: LogFormat = style

    def close(self) -> None:
        """Close the file, and leave structlog and the standard library's root logger as they are by default."""
        structlog.reset_defaults()
        root = logging.getLogger()
        for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
            root.removeHandler(handler)
        logging.captureWarnings(False)
        for output in self._outputs:
            output.close()

    def drop_below_threshold(self, _logger: object, method: str, fields: Fields) -> Fields:
        """First processor. Here and not in structlog's class of loggers, so that bound loggers follow a change too."""
        if _LEVELS.get(method, 0) < self._threshold:
            raise structlog.DropEvent
        return fields

    def compose_line(self, logger: object, method: str, fields: Fields) -> dict[str, Json]:
        """Last processor: time, level and name first, nothing secret, everything of JSON's types."""
        line: dict[str, Json] = {"timestamp": rfc3339(self._clock.now()), "level": method}
        if isinstance(logger, _Writer) and logger.name is not None:
            line["logger"] = logger.name
        line["event"] = masked("event", fields.pop("event", ""))
        failure = fields.pop("exc_info", None)
        line |= {key: masked(key, value) for key, value in fields.items()}
        if failure:
            line["exception"] = masked_text(_traceback(failure))
        return line

    def write(self, line: Mapping[str, Json]) -> None:
        """A full disk or a terminal that has gone must not stop the daemon, and there is nowhere left to say it."""
        with self._lock:
            for output in self._outputs:
                with contextlib.suppress(OSError, ValueError):
                    output.write(line, self._style)


def setup(
    level: LogLevel,
    style: LogFormat,
    stream: Stream,
    log_file: Path | None = None,
    rotate_at: int = ROTATE_AT_BYTES,
    *,
    journal: bool = False,
    clock: Clock = _CLOCK,
) -> Logging:
    """Send every event of this process to `stream`, and to `log_file` too where one is given.

    `style` auto is console on a terminal, with colours, and JSON elsewhere. `journal` says that `stream` leads to
    systemd's journal (`is_journal`): each line then begins with its priority, which the journal takes off again.
    Raises `OSError` where the file cannot be opened.
    """
    outputs: list[Output] = [StreamOutput(stream, journal)]
    if log_file is not None:
        outputs.append(FileOutput(log_file, rotate_at))
    started = Logging(level, style, outputs, clock)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            started.drop_below_threshold,
            started.compose_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=lambda name=None: _Writer(started, name),
        cache_logger_on_first_use=False,
    )
    logging.getLogger().addHandler(_Bridge(logging.WARNING))
    logging.captureWarnings(True)
    return started


def is_journal(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether `descriptor` leads to systemd's journal: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).

    The variable alone says nothing: it is inherited by programs whose output has been sent elsewhere.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Writer:
    """What structlog wraps: it has the methods of a logger, and a name."""

    def __init__(self, target: Logging, name: str | None) -> None:
        self._target = target
        self.name = name

    def write(self, **line: Json) -> None:
        self._target.write(line)

    debug = info = warning = error = critical = write


class _Bridge(logging.Handler):
    """Hands on what the standard library's loggers say."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        method = record.levelname.lower() if record.levelname.lower() in _LEVELS else "warning"
        getattr(log, method)(record.getMessage(), exc_info=record.exc_info)


def _traceback(failure: object) -> str:
    """The traceback of an exception, of `sys.exc_info()`, or, for True, of the exception being handled."""
    if isinstance(failure, tuple):
        failure = failure[1]
    if isinstance(failure, BaseException):
        return "".join(traceback.format_exception(failure))
    return traceback.format_exc()
