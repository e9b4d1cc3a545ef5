"""Secrets are kept out of the log twice: by the name of their field, and by the look of the text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from donmai_daemon.model.json import Json

MASK = "***"

_SECRET_NAME = re.compile(
    r"(?:^|[_\W])(?:token|jwt|authorization|secret|password|passwd|credentials?|cookie|bearer|api_?key|private_?key)$",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_TEXT = re.compile(
    r"\brs[kp]_[a-z]+_[0-9A-Za-z]{8,}"  # registration tokens and API keys
    r"|\beyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?"  # JSON web tokens
    r"|(?<=://)[^/?#\s@]+(?=@)"  # user and password of a URL
    r"|(?<=bearer )[^\s\"']+"
    r"|(?<=token=)[^&\s]+|(?<=secret=)[^&\s]+|(?<=password=)[^&\s]+",
    re.IGNORECASE,
)
_DEEPEST = 8


def masked(name: str, value: object, depth: int = 0) -> Json:
    """`value`, as JSON can say it, without the secrets that the field's name or the text gives away.

    Below a secret name only text is masked: a flag or a number of that name is no secret. What is no JSON becomes
    text.
    """
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {str(key): masked(str(key), element, depth + 1) for key, element in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [masked(name, element, depth + 1) for element in value]
    if _SECRET_NAME.search(_HUMP.sub("_", name)):
        return MASK
    return masked_text(repr(value) if isinstance(value, BaseException) else str(value))


def masked_text(text: str) -> str:
    """`text` without what looks like a secret."""
    return _SECRET_TEXT.sub(MASK, text)
