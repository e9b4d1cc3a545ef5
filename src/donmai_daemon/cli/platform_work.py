"""`donmai platform work`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from donmai_daemon.cli.console import clean
from donmai_daemon.cli.platform_store import CLOCK, NAMES, on_store, operator
from donmai_daemon.clock import rfc3339
from donmai_daemon.errors import UsageError
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.platform.conditions import RequestRefused
from donmai_daemon.platform.http.bodies import work_item
from donmai_daemon.platform.http.endpoint import DEFAULT_BODY_LIMIT, read_json
from donmai_daemon.platform.http.views import session_view
from donmai_daemon.platform.service.details import Details
from donmai_daemon.platform.service.queue import Queue
from donmai_daemon.platform.service.tokens import Minted, Tokens
from donmai_daemon.platform.store.opened import Opened

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console
    from donmai_daemon.platform.records.work import SessionRecord


def enqueue(arguments: Namespace, console: Console) -> int:
    """Queue a work item, checked as the platform checks one that comes over the wire."""
    try:
        item = work_item(_item(arguments))
        if len(json.dumps(item, ensure_ascii=False).encode()) > DEFAULT_BODY_LIMIT:
            raise RequestRefused("", f"it is larger than {DEFAULT_BODY_LIMIT} bytes")
    except RequestRefused as error:
        raise UsageError(f"the work item is not good: {error.message}") from error

    session = on_store(arguments, console, lambda opened: _queue(opened).put(arguments.org, item, operator()))
    if arguments.json:
        console.json(session_view(session))
    else:
        console.print(session.id)
        console.note("it waits for a machine that takes its project: donmai platform work list")
    return 0


def listed(arguments: Namespace, console: Console) -> int:
    """The newest sessions."""
    sessions = on_store(arguments, console, lambda opened: _queue(opened).recent(arguments.org, arguments.limit))
    if arguments.json:
        views: list[Json] = [session_view(session) for session in sessions]
        console.json({"sessions": views})
    else:
        titles = ("ID", "ORG", "PROJECT", "STATUS", "QUEUED", "REFUSED", "WORKER", "WHY")
        console.table(titles, map(_row, sessions))
    return 0


def stop(arguments: Namespace, console: Console) -> int:
    """Ask for the end of a session."""
    session = on_store(arguments, console, lambda opened: _queue(opened).stop(arguments.session, operator()))
    if arguments.json:
        console.json(session_view(session))
    elif session.ended:
        console.print(f"{session.id} is {session.status}")
    else:
        console.print(f"{session.id} ends when its worker renews its lease, within half a minute")
    return 0


def token(arguments: Namespace, console: Console) -> int:
    """A token for a sandbox: good for this one session."""

    async def mint(opened: Opened) -> Minted:
        tokens = Tokens(opened.store, CLOCK, NAMES, timedelta(seconds=arguments.token_ttl))
        await tokens.ensure_signing_key()
        return await Details(opened.store, tokens, NAMES, public_url="", legacy=None).sandbox_token(
            arguments.session
        )

    minted = on_store(arguments, console, mint)
    if arguments.json:
        console.json({"token": minted.token.reveal(), "expiresAt": rfc3339(minted.expires_at)})
    else:
        console.print(minted.token.reveal())
        console.note(f"good until {rfc3339(minted.expires_at)}; give it to the sandbox as DONMAI_RUNTIME_JWT")
    return 0


def _row(session: SessionRecord) -> tuple[str, ...]:
    return (
        session.id,
        session.org_id,
        session.project_id,
        session.status,
        rfc3339(session.queued_at),
        str(session.nacks),
        session.worker_id or "",
        _why(session),
    )


def _why(session: SessionRecord) -> str:
    """What it waits for, or came to: the last refusal while nobody has it, the error after its end."""
    told = session.error if session.ended else session.refusal if session.queued else None
    return clean(told or "")


def _queue(opened: Opened) -> Queue:
    return Queue(opened.store, opened.wakeups, CLOCK, NAMES)


def _item(arguments: Namespace) -> JsonObject:
    """The fields of `--item`, and what the options say on top of it."""
    item: JsonObject = {}
    if arguments.item:
        text = arguments.item
        try:
            raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        except OSError as error:
            raise UsageError(f"{text[1:]} cannot be read: {error.strerror}") from error
        read = read_json(raw)
        if not isinstance(read, dict):
            raise RequestRefused("", "it is not a JSON object")
        item |= read
    options = {
        "projectId": arguments.project,
        "repository": arguments.repository,
        "ref": arguments.ref,
        "title": arguments.title,
        "prompt": arguments.prompt,
        "workType": arguments.work_type,
        "priority": arguments.priority,
    }
    return item | {name: value for name, value in options.items() if value is not None}
