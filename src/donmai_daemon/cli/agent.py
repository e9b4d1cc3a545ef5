"""`donmai agent run`: one session, beside a daemon or in a sandbox where there is none."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from donmai_daemon.cli.parser import Parser, examples
from donmai_daemon.errors import DonmaiError, UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.agent.options import AgentOptions
    from donmai_daemon.agent.run import RunResult
    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.config import PlatformLink

PREFLIGHT = 2

RUN = """\
Fetch one session from the daemon or the platform, clone its repository, run the configured
agent there, and report how it ended. One line of JSON on standard output; the agent's own
output goes to standard error. Exit 0 completed, 1 failed or stopped, 2 nothing was begun.

The credential comes from DONMAI_SESSION_READ_TOKEN, else DONMAI_RUNTIME_JWT."""


def build(parser: Parser) -> None:
    """Add the verbs of `donmai agent`."""
    parser.epilog = examples(
        """DONMAI_AGENT__COMMAND='["sh", "-c", "make test"]' donmai agent run --session-id ses_1""",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    run = verbs.add_parser("run", help="run one session", description=RUN)
    run.add_argument("--session-id", metavar="ID", help="the session (default: $DONMAI_SESSION_ID)")
    run.add_argument(
        "--daemon-url",
        metavar="URL",
        help="daemon or platform to fetch it from (default: $DONMAI_DAEMON_URL, else http://127.0.0.1:7734)",
    )
    run.add_argument("--worktree-dir", metavar="D", help="where workspaces are made (default: ./worktrees)")
    run.add_argument("--config", metavar="F", help="configuration file that names the agent's command")
    run.set_defaults(run=_run)


def _run(arguments: Namespace, console: Console) -> int:
    from donmai_daemon.agent.options import TOKEN_VARIABLES, blot_out, read_options
    from donmai_daemon.footprint import keep_out_optional_modules

    keep_out_optional_modules(sys.modules)
    blot_out(TOKEN_VARIABLES)  # before anything else is read, started or logged
    session_id = arguments.session_id or console.environ.get("DONMAI_SESSION_ID", "")
    try:
        command, link = _settings(arguments, console)
        options = read_options(
            os.environ,
            session_id=arguments.session_id,
            daemon_url=arguments.daemon_url,
            worktrees=arguments.worktree_dir,
            command=command,
            link=link,
            new_mark=os.urandom(16).hex(),
        )
        if options.gated and not os.read(sys.stdin.fileno(), 1):
            raise UsageError("whoever started this runner has gone before it could begin")
    except DonmaiError as error:
        from donmai_daemon.agent.run import RunResult

        console.error(error)
        console.print(RunResult(session_id, "failed", error=error.message, preflight=True).line())
        return PREFLIGHT
    result = _perform(options)
    console.print(result.line())
    return result.process_exit_code


def _perform(options: AgentOptions) -> RunResult:
    import random

    import anyio

    from donmai_daemon import __version__
    from donmai_daemon.agent.run import AgentRun
    from donmai_daemon.clock import SystemClock
    from donmai_daemon.link.client import open_client
    from donmai_daemon.log import setup
    from donmai_daemon.sessions.processes import become_subreaper

    become_subreaper()
    setup("info", "auto", sys.stderr)
    clock = SystemClock()
    run = AgentRun(
        options,
        open_client=lambda link: open_client(link, clock, __version__, options.environment),
        clock=clock,
        rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
        python=sys.executable,
    )
    return anyio.run(run.run)


def _settings(arguments: Namespace, console: Console) -> tuple[tuple[str, ...], PlatformLink]:
    """The agent's command, and how servers are reached; the file is read only where the environment names no command."""
    from donmai_daemon.agent.options import command_from, link_from

    command = command_from(console.environ)
    if command is not None and arguments.config is None:
        return command, link_from(console.environ)
    from donmai_daemon.cli.configuration import located, read

    config = read(located(arguments.config, console), console, required=arguments.config is not None).loaded.config
    return config.agent.command, config.platform
