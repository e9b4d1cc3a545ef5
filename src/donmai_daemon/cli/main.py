"""The entry point: argv in, exit code out, and nothing imported that the verb does not need.

Exit codes: 0 ok, 1 failed, 2 usage or preflight, 3 restart me (`donmai host run` only), 130 interrupted.
"""

from __future__ import annotations

import sys

from donmai_daemon import __version__

TYPE_CHECKING = False  # importing `typing` for it would cost more than all of `--version`
if TYPE_CHECKING:
    from typing import NoReturn


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Run one command line and return its exit code; the only owner of exit codes."""
    if argv in (["--version"], ["-V"]):
        sys.stdout.write(f"donmai {__version__}\n")
        return 0

    from donmai_daemon.cli.dispatch import guarded

    return guarded(argv)
