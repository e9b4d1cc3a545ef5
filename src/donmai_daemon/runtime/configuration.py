"""What the configuration file says, and what to go by while it says nothing usable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

from donmai_daemon.errors import ConfigInvalid, DonmaiError
from donmai_daemon.model.config import Config
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import Loaded
from donmai_daemon.store.atomic import write_private
from donmai_daemon.store.config_file import ConfigFile, FileRead

LoadSettings: TypeAlias = Callable[[Document, "Loaded | None"], Loaded]


@dataclass(frozen=True, slots=True)
class Understood:
    """One good reading of the file: its bytes, its text as an editable document, and what it configures."""

    read: FileRead
    document: Document
    loaded: Loaded

    @property
    def config(self) -> Config:
        return self.loaded.config


class Configuration:
    """Blocking; used from the store thread only.

    Remembers the last good reading, on disk as well (`last_good`, 0600), and goes by it while the file is broken.
    """

    def __init__(self, file: ConfigFile, last_good: Path, load: LoadSettings) -> None:
        self.file = file
        self._last_good = last_good
        self._load = load
        self._current: Understood | None = None
        self._log = structlog.get_logger("configuration")

    def read(self) -> Understood:
        """The file as it is. Raises `ConfigInvalid` or `ConfigUnwritable` (it cannot be read, or never stands still).

        A file that was there and is gone is invalid, not empty: removing a file is no way to say that every project
        goes. One that was never there starts from defaults.
        """
        read = self.file.read()
        known = self._current
        if known is not None and known.read.digest == read.digest:
            return Understood(read, known.document, known.loaded)
        if not read.exists and known is not None and known.read.exists:
            raise ConfigInvalid(
                "the file is gone",
                hint="put it back, or restart the daemon to begin with defaults",
            )
        return self.understand(read, Document.parse(read.data))

    def understand(self, read: FileRead, document: Document) -> Understood:
        """Validate `document`, which `read` holds. Raises `ConfigInvalid`."""
        return Understood(read, document, self._load(document, self._current.loaded if self._current else None))

    def adopt(self, understood: Understood) -> None:
        """Go by `understood` from now on."""
        known = self._current
        self._current = understood
        if not understood.read.exists or (known is not None and known.read.digest == understood.read.digest):
            return
        try:
            write_private(self._last_good, understood.read.data)
        except OSError as error:
            # It only matters at a start with a broken file, and says so itself then.
            self._log.warning("configuration.last_good_not_saved", reason=error.strerror)

    def last_good(self) -> Loaded | None:
        """What to go by at a start with a broken file; None where no good one was ever seen."""
        try:
            document = Document.parse(self._last_good.read_bytes())
            return self._load(document, None)
        except (OSError, DonmaiError):
            return None
