"""`donmai agent run` as a program whose waits are a hundred times shorter: for tests of what happens after them.

Only waiting is hastened; the clock that stamps and measures is the machine's own.
"""

from __future__ import annotations

import sys

from donmai_daemon.cli.main import entry
from donmai_daemon.clock import SystemClock


async def _hasty(self: SystemClock, seconds: float) -> None:
    await _sleep(self, seconds / 100)


_sleep = SystemClock.sleep

if __name__ == "__main__":
    SystemClock.sleep = _hasty  # type: ignore[method-assign] # this process is the test's own
    sys.argv = ["donmai", "agent", "run", *sys.argv[1:]]
    entry()
