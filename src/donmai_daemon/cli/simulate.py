"""`donmai platform simulate`: a fleet of daemons in a few processes, against a real platform."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, bounded, examples, measured

if TYPE_CHECKING:
    from donmai_daemon.cli.console import Console

_ABOUT = """\
Run many daemons in a few processes, and see what a platform makes of them. They are the daemon's own
parts (registration, heartbeat, backoff, acks) over a light connection; nothing on this machine is
configured by them. Without --url a platform is started for it, by default in a temporary directory,
and ended afterwards; servers that the environment names are used only where one of both is given as an
option. Exit code 1: a promise was not kept.

scenarios:
  steady     nothing happens, for --for seconds
  outage     the platform is away for --outage seconds, and comes back
  mutations  one change each for --share of the machines
  backlog    --queued changes wait for one machine that was off"""

MOST_HOSTS = 20_000
"""One address has some 28,000 ports to connect from."""


def build(parser: Parser) -> None:
    """Add the options of `donmai platform simulate`; those of the store are there already."""
    parser.description = _ABOUT
    parser.epilog = examples(
        "donmai platform simulate --hosts 1000",
        "donmai platform simulate --hosts 1000 --scenario outage",
        "donmai platform simulate --hosts 1000 --scenario mutations --lost 0.02 --repeat 0.02 --restart 0.01",
        "DONMAI_DAEMON_TOKEN=… donmai platform simulate --hosts 100 --url http://127.0.0.1:7735",
    )
    parser.add_argument(
        "--hosts", metavar="N", type=bounded(1, MOST_HOSTS), default=100, help="machines (default: 100)"
    )
    parser.add_argument(
        "--scenario",
        choices=("steady", "outage", "mutations", "backlog"),
        default="steady",
        help="(default: steady)",
    )
    parser.add_argument(
        "--interval", metavar="S", type=measured(1, 3600), default=30.0, help="seconds between beats (default: 30)"
    )
    parser.add_argument(
        "--for",
        dest="measure",
        metavar="S",
        type=measured(1, 86400),
        default=60.0,
        help="seconds to look at the steady state (default: 60)",
    )
    parser.add_argument(
        "--outage", metavar="S", type=measured(1, 86400), default=300.0, help="seconds away (default: 300)"
    )
    parser.add_argument(
        "--share", metavar="P", type=measured(0, 1), default=0.01, help="of the machines (default: 0.01)"
    )
    parser.add_argument(
        "--queued", metavar="N", type=bounded(1, 1_000_000), default=10_000, help="changes (default: 10000)"
    )
    parser.add_argument("--held", action="store_true", help="let the platform hold beats, as it offers to")
    for name, what in (
        ("--lost", "of requests whose answer is lost, or that are hung up on"),
        ("--repeat", "of requests that arrive twice"),
        ("--restart", "of beats after which the daemon starts again"),
    ):
        parser.add_argument(
            name, metavar="P", type=measured(0, 0.5), default=0.0, help=f"share {what} (default: 0)"
        )
    parser.add_argument(
        "--seed", metavar="N", type=bounded(0, 2**31), default=1, help="of every chance (default: 1)"
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=bounded(1, 64),
        help="default: one for 2,500 machines, at most one a processor",
    )
    parser.add_argument("--url", metavar="URL", help="a platform that runs on this machine; its interval holds")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace, console: Console) -> int:
    from donmai_daemon.cli.simulate_run import simulate

    return simulate(arguments, console)
