"""Keep the process small where the libraries it uses would grow by themselves."""

from __future__ import annotations

from collections.abc import MutableMapping
from types import ModuleType

OPTIONAL = ("better_exceptions", "pygments", "rich", "trio")
"""structlog, httpx and httpcore import these where they happen to be installed: 5 to 9 MiB and 80 ms for nothing
that a daemon shows."""


def keep_out_optional_modules(modules: MutableMapping[str, ModuleType]) -> None:
    """Make later imports of `OPTIONAL` fail as if they were not installed; what is already imported stays.

    `modules` is `sys.modules`. For the entry point of a long-running process, before it imports anything else.
    """
    for name in OPTIONAL:
        modules.setdefault(name, None)  # type: ignore[arg-type]  # None is how the import system spells "not there"
