"""`donmai platform key`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.platform_store import CLOCK, NAMES, on_store, operator
from donmai_daemon.clock import rfc3339
from donmai_daemon.model.json import Json
from donmai_daemon.platform.http.views import key_view
from donmai_daemon.platform.service.keys import Keys
from donmai_daemon.platform.service.tokens import Tokens
from donmai_daemon.platform.settings import MAX_TOKEN_TTL
from donmai_daemon.platform.store.opened import Opened

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console
    from donmai_daemon.platform.records.keys import KeyRecord

_SHOWN = ("keyPrefix", "orgId", "role", "id", "name")


def create(arguments: Namespace, console: Console) -> int:
    """Make a key and show it, once."""
    made = on_store(
        arguments,
        console,
        lambda opened: _keys(opened).create(arguments.org, arguments.role, arguments.name, operator()),
        may_make=True,
    )
    record, text = made.record, made.text.reveal()
    if arguments.json:
        view = key_view(record)
        console.json({"key": text} | {name: view[name] for name in _SHOWN})
    else:
        console.print(text)
        console.note(f"made {record.id}, role {record.role} of {record.org_id}; the key is not shown again")
    return 0


def listed(arguments: Namespace, console: Console) -> int:
    """Every key, revoked ones too."""
    keys = on_store(arguments, console, lambda opened: _keys(opened).all(arguments.org))
    if arguments.json:
        views: list[Json] = [key_view(key) for key in keys]
        console.json({"keys": views})
    else:
        console.table(("ID", "KEY", "ORG", "ROLE", "STATE", "CREATED", "NAME"), map(_row, keys))
    return 0


def revoke(arguments: Namespace, console: Console) -> int:
    """Make one key useless."""
    key = on_store(arguments, console, lambda opened: _keys(opened).revoke(arguments.key, operator()))
    if arguments.json:
        console.json(key_view(key))
    else:
        console.print(f"revoked {key.id}")
    return 0


def rotate_signing(arguments: Namespace, console: Console) -> int:
    """Sign with a new key; the one before verifies until the last token it can have signed is over."""
    key = on_store(
        arguments, console, lambda opened: Tokens(opened.store, CLOCK, NAMES, MAX_TOKEN_TTL).rotate(operator())
    )
    if arguments.json:
        console.json({"signingKeyId": key.id, "createdAt": rfc3339(key.created_at)})
    else:
        console.print(f"runtime tokens are signed by {key.id} from now on; those that are out stay good")
    return 0


def _keys(opened: Opened) -> Keys:
    return Keys(opened.store, CLOCK, NAMES)


def _row(key: KeyRecord) -> tuple[str, ...]:
    state = "revoked" if key.revoked_at else "ok"
    return (key.id, f"{key.prefix}…", key.org_id, key.role, state, rfc3339(key.created_at), key.name or "")
