"""`donmai host`: the verbs, their options, and where each is implemented."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, bounded, examples

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Callable

    from donmai_daemon.cli.console import Console

_ROOM = "donmai_daemon.cli."


def build(parser: Parser) -> None:
    """Add the verbs of `donmai host`."""
    parser.epilog = examples(
        "donmai host run --config ./daemon.toml",
        "donmai host status --watch",
        "donmai host config check",
        "donmai host mutations show mut_01",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    place = _place()

    run = verbs.add_parser("run", parents=[place], help="run the daemon in the foreground", description=RUN)
    _config_option(run)
    run.add_argument("--skip-wizard", action="store_true", help="accepted for compatibility; there is no wizard")
    run.set_defaults(run=_run)

    status = verbs.add_parser("status", parents=[place], help="what the daemon is and does right now")
    status.add_argument("--json", action="store_true", help="the control API's answer as JSON")
    status.add_argument(
        "--watch", action="store_true", help="show again every second, until Ctrl-C; with --json one object a line"
    )
    status.set_defaults(run=_later("status", "status"))

    stats = verbs.add_parser("stats", parents=[place], help="capacity, queue and registration in numbers")
    stats.add_argument("--json", action="store_true", help="the control API's answer as JSON")
    stats.set_defaults(run=_later("status", "stats"))

    doctor = verbs.add_parser(
        "doctor", parents=[place], help="check files, daemon and platform, and say what to do", description=DOCTOR
    )
    _config_option(doctor)
    doctor.add_argument("--json", action="store_true", help="the checks as JSON")
    doctor.set_defaults(run=_later("doctor", "doctor"))

    logs = verbs.add_parser("logs", parents=[place], help="the daemon's own log file")
    logs.add_argument(
        "-n", "--lines", type=bounded(1, 100_000), default=50, metavar="N", help="how many lines (default: 50)"
    )
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines are written, until Ctrl-C")
    logs.add_argument("--json", action="store_true", help="the lines as they are in the file")
    logs.set_defaults(run=_later("logs", "logs"))

    for name, what in STEERING.items():
        verb = verbs.add_parser(name, parents=[place], help=what)
        verb.set_defaults(run=_later("steering", "steer"))
    stop = verbs.add_parser("stop", parents=[place], help="end the daemon in good order, and wait until it is gone")
    stop.add_argument("--no-wait", action="store_true", help="return as soon as the daemon has agreed")
    stop.set_defaults(run=_later("steering", "stop"))

    for name, what in SERVICE.items():
        verb = verbs.add_parser(name, parents=[place], help=what, description=SERVICE_SCOPE)
        scope = verb.add_mutually_exclusive_group()
        scope.add_argument("--system", action="store_true", help="a service of the machine (default for root)")
        scope.add_argument("--user", action="store_true", help="a service of your own (default for everybody else)")
        verb.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
        verb.set_defaults(run=_later("install", name))

    _build_config(verbs.add_parser("config", help="check or show the configuration file; needs no daemon"), place)
    _build_work(verbs, place)
    _build_mutations(
        verbs.add_parser("mutations", help="the changes this daemon received, and how each ended"), place
    )


RUN = """\
Run the daemon in the foreground until it is stopped. Configuration and state are looked for in
their usual places: ~/.donmai/daemon.toml, else /etc/donmai/daemon.toml; state in ~/.donmai."""

DOCTOR = """\
Look at the configuration file, the state directory, the running daemon and its view of the
platform. Exit 1 when a check of severity error fails; a daemon that does not run is one."""

STEERING = {
    "reload": "read the configuration file again",
    "pause": "take no new work; running sessions go on",
    "resume": "take work again",
    "restart": "end the daemon with exit code 3, which asks the service manager to start it again",
}

SERVICE = {
    "install": "make the daemon a service (systemd, launchd) and start it; again: repair what differs",
    "uninstall": "take the service away; configuration, state and logs stay",
}
SERVICE_SCOPE = """\
What is done is listed, line by line. Configuration files are never changed or removed."""


def _build_config(parser: Parser, place: Parser) -> None:
    parser.set_defaults(verb_parser=parser)
    verbs = parser.add_subparsers(dest="config_verb", metavar="VERB", title="verbs", parser_class=Parser)
    check = verbs.add_parser("check", parents=[place], help="say whether the file is good; exit 1 where it is not")
    show = verbs.add_parser("show", parents=[place], help="every effective value and where it came from")
    for verb in (check, show):
        _config_option(verb)
        verb.add_argument("--json", action="store_true", help="as JSON")
    check.set_defaults(run=_later("configuration", "check"))
    show.set_defaults(run=_later("configuration", "show"))


def _build_work(verbs: _SubParsersAction[Parser], place: Parser) -> None:
    """Projects, policy, sessions: what this machine works on."""
    from donmai_daemon.cli import model_access, project, session, setting

    project.build(verbs.add_parser("project", help="whose work is taken, and from which repositories"), place)
    model_access.build(
        verbs.add_parser("model-access", help="the model-access policy, and what it decides; needs no daemon"),
        place,
    )
    session.build(verbs.add_parser("sessions", aliases=["session"], help="the work that runs here"), place)
    session.build_drain(
        verbs.add_parser("drain", parents=[place], help="take no new work, and wait until what runs has ended")
    )
    setting.build(verbs.add_parser("set", parents=[place], help="write a setting into the configuration file"))


def _build_mutations(parser: Parser, place: Parser) -> None:
    parser.set_defaults(verb_parser=parser)
    verbs = parser.add_subparsers(dest="mutations_verb", metavar="VERB", title="verbs", parser_class=Parser)
    listed = verbs.add_parser("list", parents=[place], help="the history, newest first")
    listed.add_argument("--state", choices=("pending", "review", "settled"), help="only those in this state")
    listed.add_argument(
        "--limit", type=bounded(1, 100_000), default=20, metavar="N", help="at most so many (default: 20)"
    )
    listed.add_argument("--json", action="store_true", help="as JSON")
    listed.set_defaults(run=_later("history", "listed"))
    show = verbs.add_parser("show", parents=[place], help="one change and its diff")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(run=_later("history", "show"))


def _place() -> Parser:
    """The options that every host verb takes."""
    place = Parser(add_help=False)
    place.add_argument("--host", metavar="H", help="address of the control API (loopback; default: 127.0.0.1)")
    place.add_argument(
        "--port", type=bounded(0, 65535), metavar="N", help="port of the control API (default: 7734)"
    )
    place.add_argument(
        "--state-dir", metavar="D", help="state directory (default: $DONMAI_STATE_DIR, else ~/.donmai)"
    )
    return place


def _config_option(parser: Parser) -> None:
    parser.add_argument(
        "--config", metavar="F", help="configuration file (default: $DONMAI_CONFIG, else the usual places)"
    )


def _run(arguments: Namespace, console: Console) -> int:
    from donmai_daemon import compose

    return compose.host_run(arguments.config, arguments.state_dir, arguments.host, arguments.port, console.environ)


def _later(module: str, function: str) -> Callable[[Namespace, Console], int]:
    """The function of a sibling module, imported when it is called: a verb pays for no other."""

    def run(arguments: Namespace, console: Console) -> int:
        code: int = getattr(import_module(_ROOM + module), function)(arguments, console)
        return code

    return run
