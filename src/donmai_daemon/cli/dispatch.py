"""From the first word of a command line to the module that knows the rest of it."""

from __future__ import annotations

import importlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO, cast

from donmai_daemon.cli.console import Console, ReaderGone
from donmai_daemon.cli.parser import Parser
from donmai_daemon.errors import DonmaiError, UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


class Group(NamedTuple):
    """One first word: the module that builds its verbs, and its line in the help."""

    name: str
    module: str
    summary: str


class GroupModule(Protocol):
    """What a group's module offers."""

    def build(self, parser: Parser) -> None:
        """Add the verbs to `parser`, each with a default `run`: `Callable[[Namespace, Console], int]`."""
        ...


GROUPS = (
    Group("dev", "donmai_daemon.cli.dev", "run a platform and a daemon on this machine, nothing to configure"),
    Group("host", "donmai_daemon.cli.host", "run this machine's daemon, look at it, steer it"),
    Group(
        "mutation", "donmai_daemon.cli.mutation", "queue configuration changes for a machine, through the platform"
    ),
    Group("platform", "donmai_daemon.cli.platform", "serve a control plane and manage its keys"),
    Group("agent", "donmai_daemon.cli.agent", "run one agent session (started by the daemon or a sandbox)"),
)
ALIASES = {"daemon": "host"}
"""Words that are understood and not shown."""

HELP = f"""usage: donmai GROUP VERB [options]

One machine's heartbeat agent: it dials a control plane, applies queued configuration
changes to this machine's own TOML file exactly once, and runs agent sessions.

groups:
{"".join(f"  {group.name:<10} {group.summary}{chr(10)}" for group in GROUPS)}
options:
  -h, --help     show this help; every group and verb has its own
  -V, --version  show the version

examples:
  donmai dev
  donmai host status
  donmai mutation enqueue project.add --id demo --repository https://github.com/acme/demo.git
"""


def guarded(argv: list[str]) -> int:
    """Run `argv` on the process's own streams; every error on purpose becomes one line and an exit code."""
    console = Console(_usable(sys.stdout), _usable(sys.stderr), os.environ)
    try:
        code = dispatch(argv, console)
        console.flush()
    except UsageError as error:
        console.error(error)
        return 2
    except DonmaiError as error:
        console.error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except ReaderGone:
        # Python would flush once more at exit and complain; let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _usable(stream: TextIO | None) -> TextIO:
    """A standard stream that writes whatever its encoding, and nowhere where the process was started without it."""
    if stream is None:
        return Path(os.devnull).open("w")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def dispatch(argv: list[str], console: Console) -> int:
    """Run the verb that `argv` names. Raises what the verb raises, and `UsageError`."""
    if not argv:
        console.note(HELP)
        return 2
    word = argv[0]
    if word in ("-h", "--help", "help"):
        console.print(HELP)
        return 0
    group = next((group for group in GROUPS if group.name == ALIASES.get(word, word)), None)
    if group is None:
        raise UsageError(f"no such command: {word}", hint=_suggestion(word))
    module = cast("GroupModule", importlib.import_module(group.module))
    parser = Parser(prog=f"donmai {group.name}", description=f"{group.summary[0].upper()}{group.summary[1:]}.")
    module.build(parser)
    try:
        arguments = parser.parse_args(argv[1:])
    except SystemExit as done:  # argparse's way to end --help
        return int(done.code or 0)
    run: Callable[[Namespace, Console], int] | None = getattr(arguments, "run", None)
    if run is None:
        console.note((getattr(arguments, "verb_parser", None) or parser).format_help())
        return 2
    return run(arguments, console)


def _suggestion(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, [group.name for group in GROUPS], n=1)
    return f"did you mean: donmai {near[0]}" if near else "see: donmai --help"
