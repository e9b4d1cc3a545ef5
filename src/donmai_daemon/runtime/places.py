"""Which names in which directories decide what a path leads to."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40
"""Linux gives up here too (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Places:
    """Every (directory, name) that a change of would change what the path leads to.

    `names` maps real directories to names in them: each symlink on the way, the file at its end, or the first name
    that is missing. `file` is the file at the end, None where something is missing.
    """

    names: Mapping[Path, frozenset[str]]
    file: Path | None

    def concern(self, directory: Path, name: str) -> bool:
        """Whether an event about `name` in `directory` matters."""
        return name in self.names.get(directory, frozenset())


def find_places(path: Path) -> Places:
    """Follow `path` step by step, as the kernel does. Blocking; never raises: what cannot be looked at is missing."""
    names: dict[Path, set[str]] = {}
    here, *parts = path.absolute().parts
    directory = Path(here)
    pending = parts[::-1]
    links = 0
    while pending:
        name = pending.pop()
        if name == "..":
            directory = directory.parent
            continue
        entry = directory / name
        try:
            target = Path(os.readlink(entry))  # noqa: PTH115 - Path.readlink() would read it twice to tell EINVAL
        except OSError as error:
            if error.errno != errno.EINVAL:  # anything but "not a symlink": missing, no directory, not allowed
                names.setdefault(directory, set()).add(name)
                return _places(names, None)
            if not pending:
                names.setdefault(directory, set()).add(name)
                return _places(names, entry)
            directory = entry
            continue
        names.setdefault(directory, set()).add(name)
        links += 1
        if links > _MOST_LINKS:
            break
        if target.is_absolute():
            directory = Path(target.anchor)
            pending += target.parts[:0:-1]
        else:
            pending += target.parts[::-1]
    return _places(names, None)


def _places(names: Mapping[Path, set[str]], file: Path | None) -> Places:
    return Places({directory: frozenset(found) for directory, found in names.items()}, file)
