"""`donmai platform`: serve a control plane, and manage its keys and hosts."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from donmai_daemon.cli import simulate
from donmai_daemon.cli.parser import Parser, bounded, examples, measured

if TYPE_CHECKING:
    from collections.abc import Callable

    from donmai_daemon.cli.console import Console

_ABOUT = """\
Serve a control plane for daemons, and manage its API keys and hosts. Without --database-url it
keeps everything in one SQLite file and needs no server; the other verbs work beside it, and are
told the same place."""

_SERVE = """\
Serve until Ctrl-C or SIGTERM. One process on the embedded store; any number of them, behind one
address, on PostgreSQL and Redis. Routes, bodies and answers: /openapi.json; numbers for Prometheus:
/metrics; health: /healthz, /readyz."""


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
    _build_serve(
        verbs.add_parser(
            "serve", parents=[place], help="serve the control plane in the foreground", description=_SERVE
        )
    )
    _build_keys(verbs.add_parser("key", help="API keys and the keys that sign runtime tokens"), place)
    _build_hosts(verbs.add_parser("host", help="the machines that have registered"), place)
    _build_work(verbs.add_parser("work", help="sessions: queue, look, stop, let a sandbox in"), place)
    simulate.build(
        verbs.add_parser(
            "simulate", parents=[_place("a temporary one")], help="try a platform out with many daemons"
        )
    )


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
        type=measured(0.05, 3600),
        default=30.0,
        help="seconds between beats (default: 30)",
    )
    serve.add_argument(
        "--poll-interval",
        metavar="S",
        type=measured(0.05, 3600),
        default=5.0,
        help="seconds between polls for work (default: 5)",
    )
    _token_ttl_option(serve)
    serve.add_argument(
        "--claim-timeout",
        metavar="S",
        type=measured(0.2, 3600),
        default=60.0,
        help="seconds after which work that a poll took and nobody confirmed is queued again (default: 60)",
    )
    serve.add_argument(
        "--lease",
        metavar="S",
        type=measured(0.2, 86400),
        default=120.0,
        help="seconds that a confirmed claim holds without being renewed (default: 120)",
    )
    serve.add_argument(
        "--rate-limit",
        metavar="R",
        type=measured(0.1, 1e6),
        default=100.0,
        help="requests a second that this process takes of one key, burst five times as many (default: 100)",
    )
    serve.add_argument(
        "--request-timeout",
        metavar="S",
        type=measured(0.1, 3600),
        default=30.0,
        help="seconds that a request may take to arrive whole (default: 30)",
    )
    serve.add_argument(
        "--legacy-org",
        metavar="O",
        help="organisation that $WORKER_API_KEY stands for, for the queued session detail only",
    )
    serve.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="least severe that is logged, on standard error (default: info)",
    )
    serve.add_argument("--json", action="store_true", help="say that it is ready as one JSON line")
    serve.set_defaults(run=_later("serve", "serve"))


def _build_keys(parser: Parser, place: Parser) -> None:
    parser.set_defaults(verb_parser=parser)
    verbs = parser.add_subparsers(dest="key_verb", metavar="VERB", title="verbs", parser_class=Parser)
    create = verbs.add_parser("create", parents=[place], help="make a key; its text is shown this once")
    create.add_argument(
        "--org", metavar="O", required=True, type=_name, help="organisation; a new name makes a new one"
    )
    create.add_argument(
        "--role",
        choices=("owner", "admin", "member", "worker"),
        required=True,
        help="member looks, and queues work; admin and owner change machines too, and make keys; worker is for machines "
        "and registers them, nothing else",
    )
    create.add_argument("--name", metavar="N", type=_label, help="a name for people to recognise it by")
    create.set_defaults(run=_later("keys", "create"))
    listed = verbs.add_parser("list", parents=[place], help="keys, never their text")
    listed.add_argument("--org", metavar="O", help="of this organisation only")
    listed.set_defaults(run=_later("keys", "listed"))
    revoke = verbs.add_parser("revoke", parents=[place], help="make a key useless, at once and for good")
    revoke.add_argument("key", metavar="KEY_ID")
    revoke.set_defaults(run=_later("keys", "revoke"))
    rotate = verbs.add_parser(
        "rotate-signing", parents=[place], help="sign runtime tokens with a new key; nobody is logged out"
    )
    rotate.set_defaults(run=_later("keys", "rotate_signing"))
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
        type=measured(0.05, 3600),
        default=30.0,
        help="what `serve` was told, to tell who is stale (default: 30)",
    )
    listed.set_defaults(run=_later("hosts", "listed"))
    status = verbs.add_parser(
        "status", parents=[place], help="what beats of a machine are told: ok, or stop claiming work"
    )
    status.add_argument("host", metavar="HOST")
    status.add_argument("status", metavar="ok|pool_…", type=_host_status)
    status.add_argument("--action", metavar="TEXT", help="recommended action, for people")
    status.add_argument(
        "--pool", metavar="ID", action="append", default=[], help="a candidate pool; may be repeated"
    )
    status.set_defaults(run=_later("hosts", "status"))
    remove = verbs.add_parser(
        "remove", parents=[place], help="forget a machine; its worker is refused from then on"
    )
    remove.add_argument("host", metavar="HOST")
    remove.set_defaults(run=_later("hosts", "remove"))
    for verb in (listed, status, remove):
        verb.add_argument("--json", action="store_true", help="as JSON")


def _build_work(parser: Parser, place: Parser) -> None:
    parser.set_defaults(verb_parser=parser)
    verbs = parser.add_subparsers(dest="work_verb", metavar="VERB", title="verbs", parser_class=Parser)
    enqueue = verbs.add_parser("enqueue", parents=[place], help="queue a piece of work")
    enqueue.add_argument("--org", metavar="O", required=True, type=_name)
    enqueue.add_argument("--project", metavar="ID", help="the project that a machine must take work for")
    enqueue.add_argument("--repository", metavar="URL")
    enqueue.add_argument("--ref", metavar="REF")
    enqueue.add_argument("--title", metavar="TEXT")
    enqueue.add_argument("--prompt", metavar="TEXT")
    enqueue.add_argument("--work-type", metavar="W", help="workload, for the machine's model-access policy")
    enqueue.add_argument("--priority", metavar="N", type=bounded(0, 1000), help="lower is sooner (default: 3)")
    enqueue.add_argument("--item", metavar="JSON|@FILE", help="the work item itself; the other options go on top")
    enqueue.set_defaults(run=_later("work", "enqueue"))
    listed = verbs.add_parser("list", parents=[place], help="sessions, newest first")
    listed.add_argument("--org", metavar="O", help="of this organisation only")
    listed.add_argument(
        "--limit", metavar="N", type=bounded(1, 10_000), default=50, help="at most so many (default: 50)"
    )
    listed.set_defaults(run=_later("work", "listed"))
    stop = verbs.add_parser("stop", parents=[place], help="ask for the end of a session")
    stop.add_argument("session", metavar="SESSION")
    stop.set_defaults(run=_later("work", "stop"))
    token = verbs.add_parser("token", parents=[place], help="a token for a sandbox, good for one session only")
    token.add_argument("session", metavar="SESSION")
    _token_ttl_option(token)
    token.set_defaults(run=_later("work", "token"))
    for verb in (enqueue, listed, stop, token):
        verb.add_argument("--json", action="store_true", help="as JSON")


def _token_ttl_option(parser: Parser) -> None:
    parser.add_argument(
        "--token-ttl",
        metavar="S",
        type=measured(1, 86400),
        default=3600.0,
        help="life of runtime tokens in seconds (default: 3600)",
    )


def _place(directory: str = "$XDG_STATE_HOME/donmai-platform") -> Parser:
    """Where the platform keeps its data: the same options for every verb; `directory` is what stands for none."""
    place = Parser(add_help=False)
    place.add_argument("--data-dir", metavar="D", help=f"directory of the embedded store (default: {directory})")
    place.add_argument(
        "--database-url",
        metavar="URL",
        help="PostgreSQL of the scaled store: postgresql://… (default: $DONMAI_DATABASE_URL)",
    )
    place.add_argument(
        "--redis-url", metavar="URL", help="Redis of the scaled store: redis://… (default: $DONMAI_REDIS_URL)"
    )
    return place


def _name(text: str) -> str:
    """An organisation: it stands in URLs."""
    if 0 < len(text) <= 128 and all(c.isascii() and (c.isalnum() or c in "._-") for c in text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not a name of letters, digits and . _ - (128 at most)")


def _label(text: str) -> str:
    if 0 < len(text) <= 512 and text.isprintable():
        return text
    raise argparse.ArgumentTypeError("a name has 1 to 512 characters, in one line")


def _host_status(text: str) -> str:
    if text == "ok" or (
        text.startswith("pool_") and text.isascii() and text.replace("_", "").isalnum() and len(text) <= 64
    ):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither ok nor pool_…")


def _later(module: str, function: str) -> Callable[[argparse.Namespace, Console], int]:
    """A function of a sibling module, imported when it is called: help and usage errors pay for none of it."""

    def run(arguments: argparse.Namespace, console: Console) -> int:
        found = import_module(f"donmai_daemon.cli.platform_{module}")
        code: int = getattr(found, function)(arguments, console)
        return code

    return run
