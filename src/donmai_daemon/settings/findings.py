"""What one reading of the configuration found: problems that refuse it, and warnings that do not."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.ops.document import Document

Path: TypeAlias = tuple[str | int, ...]
"""Where a value is: keys, and numbers (from 0) for elements of lists."""

MAX_WARNINGS = 100
"""More are counted, not listed: one mistake repeated in 3,000 projects is still one mistake to its reader."""

_MAX_LOOKED_UP = 100
_NOWHERE = (sys.maxsize, 0)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `variable` names the environment variable at fault; None: the file is."""

    path: Path
    reason: str
    hint: str | None = None
    variable: str | None = None


class Findings:
    """Collects while one document is read, so that the reader hears of the first problem and how many follow."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems: list[Problem] = []
        self._warnings: list[tuple[Path, str, str]] = []
        self._unlisted = 0

    def problem(self, path: Path, reason: str, *, hint: str | None = None, variable: str | None = None) -> None:
        self._problems.append(Problem(path, reason, hint, variable))

    def add(self, problems: Iterable[Problem]) -> None:
        self._problems.extend(problems)

    def unknown_key(self, path: Path, known: Iterable[str]) -> None:
        """Warn of a key that nothing reads; it stays in the file."""
        if self._has_room():
            name = dotted(path)
            shown = name if '"' in name else f'"{name}"'
            self._warnings.append((path, f"unknown key {shown}", suggestion(str(path[-1]).lower(), known)))

    def warning(self, path: Path, text: str) -> None:
        """Warn of a value; `text` follows the key. An empty path: of something outside the file."""
        if self._has_room():
            self._warnings.append((path, dotted(path), f": {text}" if path else text))

    def _has_room(self) -> bool:
        full = len(self._warnings) >= MAX_WARNINGS
        self._unlisted += full
        return not full

    @property
    def warnings(self) -> tuple[str, ...]:
        listed = tuple(subject + self._line(path) + text for path, subject, text in self._warnings)
        return (*listed, f"and {self._unlisted} more warnings") if self._unlisted else listed

    def refuse(self) -> None:
        """Raise `ConfigInvalid` for the problem that stands first in the file, if there is any problem."""
        if not self._problems:
            return
        problem = min(self._problems[:_MAX_LOOKED_UP], key=lambda problem: self._place(problem) or _NOWHERE)
        line, column = self._place(problem) or (None, None)
        others = len(self._problems) - 1
        more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
        reason = f"{problem.variable} {problem.reason}" if problem.variable else problem.reason
        raise ConfigInvalid(reason + more, key=dotted(problem.path), line=line, column=column, hint=problem.hint)

    def _place(self, problem: Problem) -> tuple[int, int] | None:
        return None if problem.variable else self._position(problem.path)

    def _position(self, path: Path) -> tuple[int, int] | None:
        """Of the key, or of the nearest table around it that is written in the text."""
        keys: list[str] = []
        for step in path:
            if isinstance(step, int):
                break
            keys.append(step)
        while keys:
            if (position := self._document.position(*keys)) is not None:
                return position
            keys.pop()
        return None

    def _line(self, path: Path) -> str:
        position = self._position(path)
        return f" (line {position[0]})" if position else ""


def dotted(path: Sequence[str | int]) -> str:
    """`remote.ops."project.add"`, `projects.alpha.repositories[0]`: as one would write the key in TOML."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else json.dumps(step, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """`: did you mean "x"?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f': did you mean "{near[0]}"?' if near else ""


def kind(value: object) -> str:
    """What `value` is, in the words of someone who writes TOML; never the value, which may be a secret."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text in quotes"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number with a fraction"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    return "a date or time"
