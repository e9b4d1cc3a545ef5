"""`donmai mutation`: queue a change for a machine, see how it ended, take it back in time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, bounded, examples

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console

_ABOUT = """\
Queue a change of a machine's configuration, through the platform. The machine receives it on its
next beat, applies it once, and reports how it ended.

The platform is named by --platform-url or DONMAI_PLATFORM_URL, the key by DONMAI_API_KEY. Where
neither is set and `donmai dev` runs on this machine, its platform and key are used."""

_ENQUEUE = """\
Operations and what they take:
  project.add        --id, --repository
  project.remove     --id
  project.enable     --id
  project.disable    --id
  modelAccess.set    --policy, --workload (none: the default policy)
  modelAccess.clear  --workload (none: every policy)
  pool.deleted       --pool-id, --candidate-pool-id, --reason
  session.kill       --session-id, --reason"""


def build(parser: Parser) -> None:
    """Add the verbs of `donmai mutation`."""
    parser.description = _ABOUT
    parser.epilog = examples(
        "donmai mutation enqueue project.add --id demo --repository https://github.com/acme/demo.git",
        "donmai mutation list",
        "donmai mutation cancel mut_01",
        "donmai mutation undo mut_01",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    platform = _platform()
    _build_enqueue(
        verbs.add_parser(
            "enqueue", parents=[platform], help="queue a change", description=_ENQUEUE, epilog=_EXAMPLES
        )
    )

    listed = verbs.add_parser("list", parents=[platform], help="the changes of one machine, newest first")
    _host_option(listed)
    listed.add_argument(
        "--limit", type=bounded(1, 500), default=20, metavar="N", help="at most so many (default: 20)"
    )
    listed.add_argument("--json", action="store_true", help="as JSON")
    listed.set_defaults(run=_list)

    cancel = verbs.add_parser("cancel", parents=[platform], help="take back a change that was not delivered yet")
    cancel.add_argument("id", metavar="ID")
    cancel.set_defaults(run=_cancel)

    undo = verbs.add_parser("undo", parents=[platform], help="queue the operation that takes a change back")
    undo.add_argument("id", metavar="ID")
    undo.add_argument("--json", action="store_true", help="the mutation that was queued, as JSON")
    undo.set_defaults(run=_undo)


_EXAMPLES = examples(
    "donmai mutation enqueue project.add --id demo --repository https://github.com/acme/demo.git",
    "donmai mutation enqueue modelAccess.set --workload qa --policy @policy.json",
    'donmai mutation enqueue modelAccess.set --policy \'{"matrix": {"*": {"byok": {"allowed": false}}}}\'',
    "donmai mutation enqueue project.disable --id demo --not-before 2026-12-01T08:00:00Z",
    "donmai mutation enqueue some.op --param name=value --params '{\"count\": 2}'",
)


def _build_enqueue(parser: Parser) -> None:
    parser.add_argument("op", metavar="OP", help="the operation")
    _host_option(parser)
    params = parser.add_argument_group("parameters of the operation")
    params.add_argument("--id", metavar="X", help="project id")
    params.add_argument("--repository", metavar="URL", help="git URL, https or ssh")
    params.add_argument("--workload", metavar="W", help="workload of a model-access policy")
    params.add_argument("--policy", metavar="JSON|@FILE", help="model-access policy")
    params.add_argument("--pool-id", metavar="P", help="worker pool")
    params.add_argument(
        "--candidate-pool-id", metavar="P", action="append", help="a pool to move to; may be repeated"
    )
    params.add_argument("--session-id", metavar="S", help="session")
    params.add_argument("--reason", metavar="TEXT", help="why, for the machine's owner")
    params.add_argument(
        "--param", metavar="K=V", action="append", default=[], help="any other, as text; may be repeated"
    )
    params.add_argument(
        "--params", metavar="JSON|@FILE", help="an object of parameters; the options above win over it"
    )
    parser.add_argument(
        "--not-before", metavar="T", help="not delivered before, and cancellable until then (RFC 3339)"
    )
    parser.add_argument("--json", action="store_true", help="the mutation as JSON")
    parser.set_defaults(run=_enqueue)


def _platform() -> Parser:
    platform = Parser(add_help=False)
    platform.add_argument("--platform-url", metavar="URL", help="the platform (default: $DONMAI_PLATFORM_URL)")
    platform.add_argument("--allow-insecure", action="store_true", help="send the key over http to another machine")
    platform.add_argument(
        "--dev-dir", metavar="D", help="directory of `donmai dev`, where it was given one by --dir"
    )
    return platform


def _host_option(parser: Parser) -> None:
    parser.add_argument("--host-id", metavar="H", help="the machine; may be left out where there is only one")


def _enqueue(arguments: Namespace, console: Console) -> int:
    code: int = import_module("donmai_daemon.cli.enqueue").enqueue(arguments, console)
    return code


def _list(arguments: Namespace, console: Console) -> int:
    code: int = import_module("donmai_daemon.cli.queue").listed(arguments, console)
    return code


def _cancel(arguments: Namespace, console: Console) -> int:
    code: int = import_module("donmai_daemon.cli.queue").cancel(arguments, console)
    return code


def _undo(arguments: Namespace, console: Console) -> int:
    code: int = import_module("donmai_daemon.cli.queue").undo(arguments, console)
    return code
