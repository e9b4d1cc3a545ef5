"""`donmai mutation list|cancel`: the platform's queue for one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.admin_target import admin_client, host_id
from donmai_daemon.cli.console import clean
from donmai_daemon.cli.history import subject
from donmai_daemon.cli.when import local
from donmai_daemon.errors import WrongState
from donmai_daemon.model.json import Json, JsonObject, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console


def listed(arguments: Namespace, console: Console) -> int:
    """A table, newest first. Raises as `AdminClient.mutations` and `host_id` do."""
    client = admin_client(arguments, console)
    mutations = client.mutations(host_id(arguments, client), arguments.limit)
    if arguments.json:
        listing: list[Json] = list(mutations)
        console.json({"mutations": listing})
    elif mutations:
        console.table(("QUEUED", "ID", "OPERATION", "STATUS", "ABOUT"), map(_row, mutations))
    else:
        console.note("no mutations yet")
    return 0


def cancel(arguments: Namespace, console: Console) -> int:
    """Cancel before delivery; raises `WrongState` after it."""
    answer = admin_client(arguments, console).cancel(arguments.id)
    if answer.get("cancelled") is True:
        console.print(f"{clean(arguments.id)} cancelled")
        return 0
    reason = text_or_none(answer, "reason") or "too late"
    known = {
        "already_delivered": (
            "it was delivered already",
            f"queue the inverse operation: donmai mutation undo {clean(arguments.id)}",
        ),
        "already_cancelled": ("it was cancelled before", None),
    }
    why, hint = known.get(reason, (reason, None))
    raise WrongState(f"{arguments.id} cannot be cancelled: {why}", hint=hint)


def undo(arguments: Namespace, console: Console) -> int:
    """Queue the operation that takes a change back; raises `WrongState` with the reason where there is none."""
    mutation = admin_client(arguments, console).undo(arguments.id)
    op = text_or_none(mutation, "op") or "?"
    return say_queued(arguments, console, mutation, f"{op} queued: {subject(mutation)}")


def say_queued(arguments: Namespace, console: Console, mutation: JsonObject, what: str) -> int:
    """Tell the id that a mutation got, and `what` it is; the whole of it with `--json`."""
    if arguments.json:
        console.json(mutation)
    else:
        identifier = clean(text_or_none(mutation, "id") or "?")
        console.print(f"{console.style(identifier, 'bold')}  {clean(what)}")
    return 0


def _row(mutation: JsonObject) -> tuple[str, str, str, str, str]:
    return (
        local(text_or_none(mutation, "createdAt")),
        text_or_none(mutation, "id") or "",
        text_or_none(mutation, "op") or "",
        text_or_none(mutation, "status") or "",
        text_or_none(mutation, "error") or subject(mutation),
    )
