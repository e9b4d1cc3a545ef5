"""`donmai host set KEY VALUE`: the settings that the daemon itself writes into its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, examples
from donmai_daemon.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console

KEYS = ("capacity.max_sessions",)


def build(parser: Parser) -> None:
    """Add the options of `donmai host set`."""
    parser.epilog = examples(
        "donmai host set capacity.max_sessions 4", "donmai host set capacity.max_sessions 0 --dry-run"
    )
    parser.add_argument("key", metavar="KEY", help=" or ".join(KEYS))
    parser.add_argument("value", metavar="VALUE")
    parser.add_argument("--dry-run", action="store_true", help="show the change to the file, and make none")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_set)


def _set(arguments: Namespace, console: Console) -> int:
    from donmai_daemon.cli import local_change
    from donmai_daemon.cli.client import client_for

    if arguments.key not in KEYS:
        raise UsageError(
            f"{arguments.key}: cannot be set this way", hint=f"can be: {', '.join(KEYS)}; for others edit the file"
        )
    if not (arguments.value.isascii() and arguments.value.isdigit() and int(arguments.value) <= 1000):
        raise UsageError(f"{arguments.key}: must be a whole number from 0 to 1000, not {arguments.value!r}")
    key = arguments.key.partition(".")[2]
    client = client_for(arguments, console)
    params = {"key": key, "value": int(arguments.value)}
    if arguments.dry_run:
        return local_change.preview(client, console, "capacity.set", params, as_json=arguments.json)
    record = local_change.make(client, "capacity.set", params)
    local_change.told(console, record, f"{arguments.key} = {int(arguments.value)}", as_json=arguments.json)
    return 0
