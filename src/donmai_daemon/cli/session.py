"""`donmai host sessions list|show|stop` and `donmai host drain`: the work that runs on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from donmai_daemon.cli.console import clean
from donmai_daemon.cli.parser import Parser, bounded, examples
from donmai_daemon.errors import DaemonRefused, DonmaiError
from donmai_daemon.model.json import int_or_none, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.client import ControlClient
    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.json import JsonObject

_LOOK_SECONDS = 0.5
_PATH = "/api/daemon/sessions"


def build(parser: Parser, place: Parser) -> None:
    """Add the verbs of `donmai host sessions`; `place` has the options that every host verb takes."""
    parser.set_defaults(verb_parser=parser)
    parser.epilog = examples("donmai host sessions list", "donmai host sessions stop ses_1")
    verbs = parser.add_subparsers(dest="sessions_verb", metavar="VERB", title="verbs", parser_class=Parser)
    listed = verbs.add_parser("list", parents=[place], help="what runs now")
    show = verbs.add_parser("show", parents=[place], help="one session; secrets are not shown")
    stop = verbs.add_parser("stop", parents=[place], help="end one session with everything it started")
    for verb, run in ((listed, _listed), (show, _show), (stop, _stop)):
        if verb is not listed:
            verb.add_argument("id", metavar="ID")
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=run)


def build_drain(parser: Parser) -> None:
    """Add the options of `donmai host drain`."""
    parser.add_argument(
        "--timeout",
        type=bounded(0, 86400),
        metavar="SECONDS",
        help="then end what is left (default: from the configuration)",
    )
    parser.add_argument("--no-wait", action="store_true", help="return at once; the daemon goes on draining")
    parser.set_defaults(run=_drain)


def _client(arguments: Namespace, console: Console) -> ControlClient:
    from donmai_daemon.cli.client import client_for

    return client_for(arguments, console)


def _listed(arguments: Namespace, console: Console) -> int:
    answer = _client(arguments, console).get(_PATH)
    if arguments.json:
        console.json(answer)
        return 0
    rows = [
        (
            text_or_none(handle, "sessionId") or "",
            text_or_none(handle, "projectId") or "",
            *_standing(handle),
        )
        for handle in _handles(answer)
    ]
    if rows:
        console.table(("SESSION", "PROJECT", "STATE", "PID", "ACCEPTED"), rows)
    else:
        console.note("no sessions")
    return 0


def _handles(answer: JsonObject) -> list[JsonObject]:
    sessions = answer.get("sessions")
    return [handle for handle in (sessions if isinstance(sessions, list) else []) if isinstance(handle, dict)]


def _standing(handle: JsonObject) -> tuple[str, str, str]:
    """State, process id and time of acceptance, for people."""
    from donmai_daemon.cli.when import local

    return (
        text_or_none(handle, "state") or "",
        str(int_or_none(handle, "pid") or "-"),
        local(text_or_none(handle, "acceptedAt")),
    )


def _show(arguments: Namespace, console: Console) -> int:
    client = _client(arguments, console)
    try:
        detail = client.get(f"{_PATH}/{quote(arguments.id, safe='')}")
    except DaemonRefused as error:
        if error.status != 404:
            raise
        raise DaemonRefused(
            404, f"no such session: {arguments.id}", hint="see: donmai host sessions list"
        ) from error
    if arguments.json:
        # On the unix socket the daemon shows everything to its own user. A terminal is no place for credentials.
        from donmai_daemon.control.redact import redact

        console.json(redact(detail))
        return 0
    handle: JsonObject = next(
        (handle for handle in _handles(client.get(_PATH)) if handle.get("sessionId") == arguments.id), {}
    )
    state, pid, accepted = _standing(handle) if handle else ("", "", "")
    profile = detail.get("resolvedProfile")
    chosen: JsonObject = profile if isinstance(profile, dict) else {}
    console.fields(
        [
            ("Session", text_or_none(detail, "sessionId") or ""),
            ("State", state),
            ("Runner", f"pid {pid}" if pid else ""),
            ("Accepted", accepted),
            ("Project", text_or_none(detail, "projectId") or ""),
            ("Issue", text_or_none(detail, "issueIdentifier") or ""),
            ("Title", text_or_none(detail, "title") or ""),
            ("Workload", text_or_none(detail, "workType") or ""),
            ("Repository", text_or_none(detail, "repository") or ""),
            ("Ref", text_or_none(detail, "ref") or ""),
            ("Model", text_or_none(chosen, "model") or ""),
            ("Auth mode", text_or_none(chosen, "authMode") or ""),
        ]
    )
    return 0


def _stop(arguments: Namespace, console: Console) -> int:
    answer = _client(arguments, console).post(f"{_PATH}/{quote(arguments.id, safe='')}/stop")
    if arguments.json:
        console.json(answer)
    if answer.get("stopped") is not True:
        raise DonmaiError(f"{arguments.id}: {text_or_none(answer, 'reason') or 'not stopped'}")
    if not arguments.json:
        mode = (text_or_none(answer, "mode") or "stopped").replace("_", " ")
        console.print(clean(f"{arguments.id}: {mode}"))
    return 0


def _drain(arguments: Namespace, console: Console) -> int:
    client = _client(arguments, console)
    answer = client.post(
        "/api/daemon/drain", {} if arguments.timeout is None else {"timeoutSeconds": arguments.timeout}
    )
    console.print(clean(text_or_none(answer, "message") or "draining"))
    before: int | None = None
    while not arguments.no_wait:
        status = client.get("/api/daemon/status")
        running = int_or_none(status, "activeSessions") or 0
        if status.get("status") != "draining":
            raise DonmaiError(
                f"no longer draining: the daemon is {text_or_none(status, 'status') or 'in no known state'}"
            )
        if running == 0:
            console.print("no session runs")
            break
        if running != before:
            console.print(f"{running} still running")
        before = running
        time.sleep(_LOOK_SECONDS)
    return 0
