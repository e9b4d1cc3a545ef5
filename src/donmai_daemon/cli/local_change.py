"""One local change through the daemon's own inbox: asked for, followed until it is settled, its outcome told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from donmai_daemon.cli.console import clean
from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.json import text_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from donmai_daemon.cli.client import ControlClient
    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.json import Json, JsonObject

SETTLE_SECONDS = 10.0
_GAPS = (0.02, 0.05, 0.1, 0.25)


def preview(client: ControlClient, console: Console, op: str, params: Mapping[str, Json], *, as_json: bool) -> int:
    """Say what the change would do, and show the diff. Raises `DonmaiError` where it would fail."""
    body: JsonObject = {"op": op, "params": dict(params), "dryRun": True}
    answer = client.post("/api/daemon/mutations", body)
    if as_json:
        console.json(answer)
    elif answer.get("outcome") == "applied":
        diff = text_or_none(answer, "diff")
        console.diff(diff) if diff else console.print("nothing would change")
    if answer.get("outcome") != "applied":
        raise DonmaiError(f"it would fail: {text_or_none(answer, 'error') or 'no reason given'}")
    return 0


def make(client: ControlClient, op: str, params: Mapping[str, Json]) -> JsonObject:
    """Make the change; the settled mutation. Raises `DonmaiError` where it failed, or still waits after a while."""
    body: JsonObject = {"op": op, "params": dict(params)}
    record = client.post("/api/daemon/mutations", body)
    identifier = text_or_none(record, "id") or ""
    deadline = time.monotonic() + SETTLE_SECONDS
    gaps = iter(_GAPS)
    gap = 0.0
    while record.get("state") != "settled":
        if time.monotonic() > deadline:
            raise DonmaiError(
                f"{identifier} is queued and not applied yet", hint=f"see: donmai host mutations show {identifier}"
            )
        gap = next(gaps, gap)
        time.sleep(gap)
        record = client.get(f"/api/daemon/mutations/{quote(identifier, safe='')}")
    if record.get("outcome") != "applied":
        raise DonmaiError(clean(text_or_none(record, "error") or "it failed, and no reason was given"))
    return record


def told(console: Console, record: Mapping[str, Json], sentence: str, *, as_json: bool) -> None:
    """Show a settled mutation: as JSON, or `sentence`, marked where nothing had to be changed."""
    if as_json:
        console.json(record)
    else:
        console.print(clean(sentence if record.get("changed") else f"{sentence} (it already was so)"))
