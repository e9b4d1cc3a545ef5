"""`donmai platform`: serve a control plane, and manage its keys and hosts."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, bounded, examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from donmai_daemon.cli.console import Console

_ABOUT = """\
Serve a control plane for daemons, and manage its API keys and hosts. Without --database-url it
keeps everything in one SQLite file and needs no server; the other verbs work beside it."""


def build(parser: Parser) -> None:
    """Add the verbs of `donmai platform`."""
    parser.description = _ABOUT
    parser.epilog = examples(
        "donmai platform serve --data-dir ./platform",
        "donmai platform key create --org acme --role worker --data-dir ./platform",
        "donmai platform host list --data-dir ./platform",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    place = _place()
    _build_serve(verbs.add_parser("serve", parents=[place], help="serve the control plane in the foreground"))
    _build_keys(verbs.add_parser("key", help="API keys and the keys that sign runtime tokens"), place)
    _build_hosts(verbs.add_parser("host", help="the machines that have registered"), place)


def _build_serve(serve: Parser) -> None:
    serve.add_argument("--host", metavar="H", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument(
        "--port", metavar="N", type=bounded(0, 65535), default=7735, help="port; 0: a free one (default: 7735)"
    )
    serve.add_argument(
        "--public-url",
        metavar="URL",
        help="how daemons and runners reach this platform (default: the address bound)",
    )
    serve.add_argument(
        "--heartbeat-interval",
        metavar="S",
        type=_seconds(0.05, 3600),
        default=30.0,
        help="seconds between beats (default: 30)",
    )
    serve.add_argument(
        "--poll-interval",
        metavar="S",
        type=_seconds(0.05, 3600),
        default=5.0,
        help="seconds between polls for work (default: 5)",
    )
    serve.add_argument(
        "--token-ttl",
        metavar="S",
        type=_seconds(1, 86400),
        default=3600.0,
        help="life of runtime tokens in seconds (default: 3600)",
    )
    serve.add_argument(
        "--rate-limit",
        metavar="R",
        type=_seconds(0.1, 1e6),
        default=100.0,
        help="requests a second for one key, burst five times as many (default: 100)",
    )
    serve.add_argument(
        "--legacy-org",
        metavar="O",
        help="organisation that $WORKER_API_KEY stands for, for the queued session detail only",
    )
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    serve.add_argument("--json", action="store_true", help="say that it is ready as one JSON line")
    serve.set_defaults(run=_later("serve"))


def _build_keys(parser: Parser, place: Parser) -> None:
    parser.set_defaults(verb_parser=parser)
    verbs = parser.add_subparsers(dest="key_verb", metavar="VERB", title="verbs", parser_class=Parser)
    create = verbs.add_parser("create", parents=[place], help="make a key; its text is shown this once")
    create.add_argument("--org", metavar="O", required=True, help="organisation; a new name makes a new one")
    create.add_argument("--role", choices=("owner", "admin", "member", "worker"), required=True)
    create.add_argument("--name", metavar="N", help="a name for people to recognise it by")
    create.set_defaults(run=_later("key_create"))
    listed = verbs.add_parser("list", parents=[place], help="keys, never their text")
    listed.add_argument("--org", metavar="O", help="of this organisation only")
    listed.set_defaults(run=_later("key_list"))
    revoke = verbs.add_parser("revoke", parents=[place], help="make a key useless, at once and for good")
    revoke.add_argument("key", metavar="KEY_ID")
    revoke.set_defaults(run=_later("key_revoke"))
    rotate = verbs.add_parser(
        "rotate-signing", parents=[place], help="sign runtime tokens with a new key; nobody is logged out"
    )
    rotate.set_defaults(run=_later("key_rotate_signing"))
    for verb in (create, listed, revoke, rotate):
        verb.add_argument("--json", action="store_true", help="as JSON")


def _build_hosts(parser: Parser, place: Parser) -> None:
    parser.set_defaults(verb_parser=parser)
    verbs = parser.add_subparsers(dest="host_verb", metavar="VERB", title="verbs", parser_class=Parser)
    listed = verbs.add_parser(
        "list", parents=[place], help="machines, when they were last seen, what waits for them"
    )
    listed.add_argument("--org", metavar="O", help="of this organisation only")
    listed.add_argument(
        "--heartbeat-interval",
        metavar="S",
        type=_seconds(0.05, 3600),
        default=30.0,
        help="what `serve` was told, to tell who is stale (default: 30)",
    )
    listed.set_defaults(run=_later("host_list"))
    status = verbs.add_parser(
        "status", parents=[place], help="what beats of a machine are told: ok, or stop claiming work"
    )
    status.add_argument("host", metavar="HOST")
    status.add_argument("status", metavar="ok|pool_…", type=_host_status)
    status.add_argument("--action", metavar="TEXT", help="recommended action, for people")
    status.add_argument(
        "--pool", metavar="ID", action="append", default=[], help="a candidate pool; may be repeated"
    )
    status.set_defaults(run=_later("host_status"))
    remove = verbs.add_parser(
        "remove", parents=[place], help="forget a machine; its worker is refused from then on"
    )
    remove.add_argument("host", metavar="HOST")
    remove.set_defaults(run=_later("host_remove"))
    for verb in (listed, status, remove):
        verb.add_argument("--json", action="store_true", help="as JSON")


def _place() -> Parser:
    """Where the platform keeps its data: the same options for every verb."""
    place = Parser(add_help=False)
    place.add_argument(
        "--data-dir", metavar="D", help="directory of the embedded store (default: $XDG_STATE_HOME/donmai-platform)"
    )
    return place


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if least <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")

    return number


def _host_status(text: str) -> str:
    if text == "ok" or (
        text.startswith("pool_") and text.isascii() and text.replace("_", "").isalnum() and len(text) <= 64
    ):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither ok nor pool_…")


def _later(function: str) -> Callable[[argparse.Namespace, Console], int]:
    """A function of the verbs' module, imported when it is called: help and usage errors pay for none of it."""

    def run(arguments: argparse.Namespace, console: Console) -> int:
        code: int = getattr(import_module("donmai_daemon.cli.platform_verbs"), function)(arguments, console)
        return code

    return run
