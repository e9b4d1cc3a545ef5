"""`donmai dev`: a platform and a daemon on this machine, for as long as the terminal is open."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from donmai_daemon.cli.console import clean
from donmai_daemon.cli.dev_directory import DevDirectory
from donmai_daemon.cli.dev_environment import RESTART_ME, ChildEnded, DevEnvironment
from donmai_daemon.cli.dev_record import DevRecord, default_directory
from donmai_daemon.cli.dev_stream import DevStream
from donmai_daemon.cli.interrupts import Asked, Interrupts
from donmai_daemon.cli.parser import Parser, bounded, examples
from donmai_daemon.errors import DaemonNotRunning, DaemonRefused, DaemonSilent
from donmai_daemon.model.json import text_or_none

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from donmai_daemon.cli.console import Console

_ABOUT = """\
Run a platform and a daemon on this machine, on loopback, in a directory of their own; nothing to
configure. Shows what to try, then every change the daemon receives and what it did to the file.
Ctrl-C ends both; what they know is kept for the next time."""

_CONTROL_PORT = 7734
_PLATFORM_PORT = 7735
_TICK_SECONDS = 0.5
_LAST_LINES = 15


def build(parser: Parser) -> None:
    """`donmai dev` is a verb by itself."""
    port = bounded(0, 65535)
    parser.description = _ABOUT
    parser.epilog = examples("donmai dev", "donmai dev --dir /tmp/try --port 0 --platform-port 0")
    parser.add_argument("--dir", metavar="D", help="directory (default: $XDG_STATE_HOME/donmai-dev)")
    parser.add_argument(
        "--port",
        type=port,
        default=_CONTROL_PORT,
        metavar="N",
        help="control API; where it is taken, or 0: a free one (default: 7734)",
    )
    parser.add_argument(
        "--platform-port",
        type=port,
        default=_PLATFORM_PORT,
        metavar="N",
        help="the platform's, likewise (default: 7735)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: Namespace, console: Console) -> int:
    root = Path(arguments.dir).absolute() if arguments.dir else default_directory(console.environ)
    with Interrupts() as interrupts:
        try:
            with closing(DevDirectory(root, interrupts.pause)) as directory:
                return _live(arguments, directory, interrupts, console)
        except Asked:
            return 0


def _live(arguments: Namespace, directory: DevDirectory, interrupts: Interrupts, console: Console) -> int:
    """Start both, stream until something ends, end what is left."""
    environment = DevEnvironment(directory, interrupts, console.environ)
    try:
        console.note(f"starting a platform and a daemon in {directory.root} …")
        environment.start_platform(arguments.platform_port)
        environment.provide_keys()
        environment.start_daemon(arguments.port)
        _record(environment, directory)
        _welcome(
            environment, directory, own_command(sys.argv[0], console.environ, Path.cwd()), arguments.dir, console
        )
        _watch(environment, directory, interrupts, console)
    except Asked:
        console.note("\nending both …")
        raise
    except ChildEnded as error:
        if error.child.name == "daemon" and error.exit_code == 0:
            console.note("the daemon was told to stop; ending the platform too")
            return 0
        console.note(f"the {error.child.name}'s last lines:")
        for line in error.child.last_lines(_LAST_LINES):
            console.note(f"  {clean(line)}")
        raise
    finally:
        environment.end()


def _record(environment: DevEnvironment, directory: DevDirectory) -> None:
    """Tell other commands where everything is."""
    DevRecord(
        platform_url=environment.platform_url,
        api_key=environment.keys.admin,
        pid=os.getpid(),
        state_dir=str(directory.state.directory),
        config_path=str(directory.config),
        control_url=environment.control_url,
    ).write(directory.record)


def _watch(
    environment: DevEnvironment, directory: DevDirectory, interrupts: Interrupts, console: Console
) -> NoReturn:
    """Stream until a child ends or we are asked to; raises which. A daemon that wants a restart gets it."""
    stream = DevStream(environment.control, console)
    while True:
        interrupts.wait(_TICK_SECONDS)
        try:
            environment.check()
        except ChildEnded as error:
            if error.child.name != "daemon" or error.exit_code != RESTART_ME:
                raise
            console.note("the daemon asks to be started again …")
            environment.restart_daemon()
            _record(environment, directory)
            console.print("the daemon is back")
            stream = DevStream(environment.control, console)
        try:
            stream.advance()
        except (DaemonNotRunning, DaemonSilent, DaemonRefused):
            continue  # it may be ending; the next check tells


def _welcome(
    environment: DevEnvironment,
    directory: DevDirectory,
    command: Sequence[str],
    option: str | None,
    console: Console,
) -> None:
    status = environment.control.get("/api/daemon/status")
    beat = status.get("heartbeat")
    interval = beat.get("intervalSeconds") if isinstance(beat, dict) else None
    every = f"every {interval:g} s" if isinstance(interval, int | float) else ""
    elsewhere = ["--dev-dir", str(directory.root)] if option else []
    demo = ["--id", "demo", "--repository", "https://github.com/acme/demo.git"]
    good = console.style("✓", "green")
    console.print()
    console.print(f"  {good} registered   as {clean(text_or_none(status, 'workerId') or '?')}")
    console.print(f"  {good} beating      {every}")
    console.print()
    console.fields(
        [
            ("  Config file  ", str(directory.config)),
            ("  Control API  ", environment.control_url),
            ("  Platform     ", environment.platform_url),
            ("  Logs         ", str(directory.log("*"))),
        ]
    )
    console.print()
    console.print("  Try this in another terminal, and watch the config file:")
    console.print()
    for line in (
        [*command, "mutation", "enqueue", "project.add", *demo, *elsewhere],
        [*command, "mutation", "list", *elsewhere],
        [*command, "host", "status", "--state-dir", str(directory.state.directory)],
    ):
        console.print("    " + console.style(shlex.join(line), "bold"))
    console.print()
    console.print(console.style("  Ctrl-C ends both.", "dim"))
    console.print()


def own_command(program: str, environ: Mapping[str, str], here: Path) -> list[str]:
    """How to call this program again from `here`: `donmai`, `.venv/bin/donmai`, or `python -m donmai_daemon`.

    `program` is how it was called this time (`sys.argv[0]`).
    """
    path = here / program
    if path.name == "__main__.py":
        return [sys.executable, "-m", "donmai_daemon"]
    found = shutil.which(path.name, path=environ.get("PATH"))
    if found and Path(found).resolve() == path.resolve():
        return [path.name]
    return [str(path.relative_to(here) if path.is_relative_to(here) else path)]
