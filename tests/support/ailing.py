"""An SQLite connection on a disk that fails once, at the worst moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence


class Ailing(sqlite3.Connection):
    """The first COMMIT fails, and so does the first ROLLBACK: what was begun can be neither kept nor taken back."""

    ails = frozenset({"COMMIT", "ROLLBACK"})

    def execute(  # type: ignore[override] # as much of it as is used
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /
    ) -> sqlite3.Cursor:
        if sql in self.ails:
            self.ails -= {sql}
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)
