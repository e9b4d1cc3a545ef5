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
PARKED_SECONDS = 1.0
"""After this long the daemon is asked what stands in the way; there may be nothing, and then the change is waited for."""
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
    began = time.monotonic()
    gaps = iter(_GAPS)
    gap = 0.0
    while record.get("state") != "settled":
        waited = time.monotonic() - began
        parked = _parked(client) if waited > PARKED_SECONDS else None
        if parked or waited > SETTLE_SECONDS:
            raise DonmaiError(
                clean(f"{identifier} is queued and not applied yet{f': {parked}' if parked else ''}"),
                hint=f"it is applied as soon as that can be; see: donmai host mutations show {identifier}",
            )
        gap = next(gaps, gap)
        time.sleep(gap)
        record = client.get(f"/api/daemon/mutations/{quote(identifier, safe='')}")
    if record.get("outcome") != "applied":
        raise DonmaiError(clean(text_or_none(record, "error") or "it failed, and no reason was given"))
    return record


def _parked(client: ControlClient) -> str | None:
    """Why the daemon cannot write its configuration file now; None where nothing is known against it."""
    conditions = client.get("/api/daemon/status").get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, dict) and condition.get("code") == "mutation_parked":
            return text_or_none(condition, "message")
    return None


def told(console: Console, record: Mapping[str, Json], sentence: str, *, as_json: bool) -> None:
    """Show a settled mutation: as JSON, or `sentence`, marked where nothing had to be changed."""
    if as_json:
        console.json(record)
    else:
        console.print(clean(sentence if record.get("changed") else f"{sentence} (it already was so)"))
