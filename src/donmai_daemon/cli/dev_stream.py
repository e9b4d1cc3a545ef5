"""What `donmai dev` tells while it runs: mutations as they come in and end, conditions as they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.console import clean
from donmai_daemon.cli.history import outcome, subject
from donmai_daemon.cli.when import clock
from donmai_daemon.model.json import Json, JsonObject, text_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from donmai_daemon.cli.client import ControlClient
    from donmai_daemon.cli.console import Console


class DevStream:
    """Compares what the daemon says now with what it said before, and prints the difference."""

    def __init__(self, client: ControlClient, console: Console) -> None:
        """What the daemon knows already is not news. Raises as `ControlClient.get` does."""
        self._client = client
        self._console = console
        self._seen = {identifier: outcome(record) for identifier, record in self._mutations()}
        self._conditions: dict[str, str] = {}

    def advance(self) -> None:
        """Ask once and print what is new. Raises as `ControlClient.get` does."""
        for identifier, record in reversed(self._mutations()):
            before, now = self._seen.get(identifier), outcome(record)
            if before is None:
                self._line(text_or_none(record, "receivedAt"), f"{clean(identifier)}  {_order(record)}")
            if before != now:
                self._seen[identifier] = now
                if now in ("applied", "failed"):
                    self._ended(record, now)
        self._compare_conditions(self._client.get("/api/daemon/status"))

    def _mutations(self) -> list[tuple[str, JsonObject]]:
        listed = self._client.get("/api/daemon/mutations?limit=100").get("mutations")
        records = [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
        return [(text_or_none(record, "id") or "", record) for record in records]

    def _ended(self, record: Mapping[str, Json], how: str) -> None:
        console = self._console
        error = text_or_none(record, "error")
        note = f": {clean(error)}" if error else "" if record.get("changed") else ", nothing had to change"
        self._line(
            text_or_none(record, "settledAt"),
            f"{clean(text_or_none(record, 'id') or '')}  {console.state(how)}{note}",
        )
        diff = text_or_none(record, "diff")
        if diff:
            console.print()
            console.diff(diff)
            console.print()

    def _compare_conditions(self, status: Mapping[str, Json]) -> None:
        listed = status.get("conditions")
        now = {
            code: text_or_none(entry, "message") or ""
            for entry in (listed if isinstance(listed, list) else [])
            if isinstance(entry, dict) and (code := text_or_none(entry, "code"))
        }
        time = text_or_none(status, "timestamp")
        for code, message in now.items():
            if self._conditions.get(code) != message:
                self._line(time, f"{self._console.style(clean(code), 'yellow')}  {clean(message)}")
        for code in self._conditions.keys() - now.keys():
            self._line(time, f"{self._console.style(clean(code), 'green')}  over")
        self._conditions = now

    def _line(self, time: str | None, text: str) -> None:
        self._console.print(f"{self._console.style(clock(time), 'dim')}  {text}")


def _order(record: Mapping[str, Json]) -> str:
    return clean(f"{text_or_none(record, 'op') or '?'} {subject(record)}".rstrip())
