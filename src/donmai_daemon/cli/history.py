"""`donmai host mutations list|show`: the journal's history as the control API tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from donmai_daemon.cli.client import client_for
from donmai_daemon.cli.when import local
from donmai_daemon.errors import DaemonRefused
from donmai_daemon.model.json import Json, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from donmai_daemon.cli.console import Console


def listed(arguments: Namespace, console: Console) -> int:
    """A table, newest first. Raises as `ControlClient.get` does."""
    state = f"&state={arguments.state}" if arguments.state else ""
    answer = client_for(arguments, console).get(f"/api/daemon/mutations?limit={arguments.limit}{state}")
    if arguments.json:
        console.json(answer)
        return 0
    mutations = answer.get("mutations")
    rows = [row(m) for m in mutations if isinstance(m, dict)] if isinstance(mutations, list) else []
    if rows:
        console.table(("RECEIVED", "ID", "OPERATION", "STATE", "ABOUT"), rows)
    else:
        console.note("no mutations yet")
    return 0


def show(arguments: Namespace, console: Console) -> int:
    """One mutation with its diff. Raises as `ControlClient.get` does."""
    try:
        record = client_for(arguments, console).get(f"/api/daemon/mutations/{quote(arguments.id, safe='')}")
    except DaemonRefused as error:
        if error.status != 404:
            raise
        raise DaemonRefused(
            404, f"no such mutation: {arguments.id}", hint="see: donmai host mutations list"
        ) from error
    if arguments.json:
        console.json(record)
        return 0
    console.fields(
        [
            ("Mutation", text_or_none(record, "id") or ""),
            ("Operation", text_or_none(record, "op") or ""),
            ("Params", json.dumps(record.get("params"), ensure_ascii=False)),
            ("State", outcome(record)),
            ("Error", text_or_none(record, "error") or ""),
            ("Asked by", text_or_none(record, "requestedBy") or ""),
            ("Received", local(text_or_none(record, "receivedAt"))),
            ("Settled", local(text_or_none(record, "settledAt"))),
            ("Acked", local(text_or_none(record, "ackedAt"))),
        ]
    )
    diff = text_or_none(record, "diff")
    if diff:
        console.print()
        console.diff(diff)
    return 0


def row(record: Mapping[str, Json]) -> tuple[str, str, str, str, str]:
    """One line of the table."""
    return (
        local(text_or_none(record, "receivedAt")),
        text_or_none(record, "id") or "",
        text_or_none(record, "op") or "",
        outcome(record),
        text_or_none(record, "error") or subject(record),
    )


def outcome(record: Mapping[str, Json]) -> str:
    """How it ended, or where it stands."""
    return text_or_none(record, "outcome") or text_or_none(record, "state") or ""


def subject(record: Mapping[str, Json]) -> str:
    """What a mutation is about: its plain params, in their order."""
    params = record.get("params")
    if not isinstance(params, dict):
        return ""
    return " ".join(f"{name}={value}" for name, value in params.items() if isinstance(value, str | int))
