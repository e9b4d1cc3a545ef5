"""One line of the daemon's log for a person to read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from donmai_daemon.cli.console import clean
from donmai_daemon.cli.when import local

if TYPE_CHECKING:
    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.json import Json

_HEAD = ("timestamp", "level", "logger", "event", "exception")


def readable(line: str, console: Console) -> str:
    """Time, level, event and `key=value` of a JSON line, a traceback below it; any other line as it is."""
    try:
        record: Json = json.loads(line)
    except ValueError:
        return clean(line)
    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
        return clean(line)
    fields = "".join(f" {clean(key)}={_value(value)}" for key, value in record.items() if key not in _HEAD)
    head = f"{console.style(local(_text(record.get('timestamp'))), 'dim')}  {console.state(_text(record.get('level')), 7)}"
    text = f"{head}  {console.style(clean(_text(record['event'])), 'bold')}{fields}"
    return "\n".join([text, *(f"    {clean(below)}" for below in _text(record.get("exception")).splitlines())])


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _value(value: Json) -> str:
    """Bare where it is one word, JSON otherwise."""
    if isinstance(value, str) and value.isprintable() and value and not set(value) & set(" \"'="):
        return value
    return clean(json.dumps(value, ensure_ascii=False))
