"""Strict reading of parameters: every field that is read is checked, every field that is not is named.

Optional fields may be null, which is the same as leaving them out.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from donmai_daemon.errors import ParamsInvalid
from donmai_daemon.model.json import MAX_NESTING, Json, JsonObject, is_too_deep

MAX_TEXT_CHARS = 512
MAX_PARAMS_BYTES = 16 * 1024
_MAX_SHOWN_CHARS = 64
_FORBIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, half surrogates, line and paragraph separators


def short(text: str) -> str:
    """`text` as an error may repeat it: printable, and not long."""
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= _MAX_SHOWN_CHARS else shown[: _MAX_SHOWN_CHARS - 1] + "…"


class Fields:
    """The fields of one object of parameters. `name` is its dotted name below `params`, `""` for all of them."""

    def __init__(self, source: Mapping[str, Json], ignored: list[str], name: str = "") -> None:
        self._source = source
        self._ignored = ignored
        self._name = name
        self._known: set[str] = set()

    def _take(self, key: str) -> Json:
        self._known.add(key)
        return self._source.get(key)

    def field(self, key: str) -> str:
        """The dotted name of `key`, cut to what a reader needs."""
        shown = short(key)
        return f"{self._name}.{shown}" if self._name else shown

    def fail(self, key: str, problem: str) -> ParamsInvalid:
        return ParamsInvalid(self.field(key), problem)

    def text(self, key: str) -> str:
        """A text that must be there and say something."""
        text = self.optional_text(key)
        if text is None and self._source.get(key) is None:
            raise self.fail(key, "is required")
        if text is None or not text.strip():
            raise self.fail(key, "must not be empty")
        return text

    def optional_text(self, key: str) -> str | None:
        """A text; None where it is absent or empty."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.fail(key, "must be text")
        self._check(key, value)
        return value or None

    def optional_texts(self, key: str) -> list[str] | None:
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.fail(key, "must be a list of texts")
        texts: list[str] = []
        for element in value:
            if not isinstance(element, str) or not element.strip():
                raise self.fail(key, "must be a list of texts that are not empty")
            self._check(key, element)
            texts.append(element)
        return texts

    def _check(self, key: str, text: str) -> None:
        if len(text) > MAX_TEXT_CHARS:
            raise self.fail(key, f"must not be longer than {MAX_TEXT_CHARS} characters")
        if not text.isprintable() and any(unicodedata.category(character) in _FORBIDDEN for character in text):
            raise self.fail(key, "must not contain control characters")

    def truth(self, key: str) -> bool:
        value = self.optional_truth(key)
        if value is None:
            raise self.fail(key, "is required")
        return value

    def optional_truth(self, key: str) -> bool | None:
        value = self._take(key)
        if value is not None and not isinstance(value, bool):
            raise self.fail(key, "must be true or false")
        return value

    def number(self, key: str, least: int, most: int) -> int:
        value = self._take(key)
        if value is None:
            raise self.fail(key, "is required")
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fail(key, f"must be a whole number from {least} to {most}")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        value = self.text(key)
        if value not in choices:
            raise self.fail(key, f"must be {' or '.join(choices)}")
        return value

    def fields(self, key: str) -> Fields:
        """An object that must be there."""
        value = self._take(key)
        if value is None:
            raise self.fail(key, "is required")
        if not isinstance(value, dict):
            raise self.fail(key, "must be an object")
        return Fields(value, self._ignored, self.field(key))

    def names(self) -> list[str]:
        """The keys of an object whose keys are data; each is checked as a text."""
        for key in self._source:
            if not key.strip():
                raise self.fail(key, "must have a name")
            self._check(key, key)
        return list(self._source)

    def finish(self) -> None:
        """Name what was never asked for."""
        self._ignored += [self.field(key) for key in self._source if key not in self._known]


def read(source: Mapping[str, Json], reader: Callable[[Fields], JsonObject]) -> tuple[JsonObject, tuple[str, ...]]:
    """What `reader` makes of the parameters, and the names of the keys it did not ask for. Raises `ParamsInvalid`."""
    if is_too_deep(dict(source)):
        raise ParamsInvalid("", f"must not be nested more than {MAX_NESTING} levels deep")
    size = len(json.dumps(source, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > MAX_PARAMS_BYTES:
        raise ParamsInvalid("", f"must not be larger than {MAX_PARAMS_BYTES // 1024} KiB")
    ignored: list[str] = []
    fields = Fields(source, ignored)
    values = reader(fields)
    fields.finish()
    return values, tuple(ignored)
