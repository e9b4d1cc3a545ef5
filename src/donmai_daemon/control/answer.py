"""What a handler answers with, and the one shape of every error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONEncoder

from donmai_daemon.errors import (
    ConfigInvalid,
    ConfigUnwritable,
    DonmaiError,
    EditRefused,
    JournalUnavailable,
    NotFound,
    ParamsInvalid,
    PlatformUnreachable,
    RequestInvalid,
    UnsupportedOperation,
    WrongState,
)
from donmai_daemon.model.json import Json

JSON_TYPE = b"application/json"
TEXT_TYPE = b"text/plain; charset=utf-8"

EVERY_ANSWER = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Headers of every answer. There is never one that lets another origin read it."""

# ASCII only, so that a lone surrogate that came in as an escape goes out as one instead of breaking the answer.
_encoder = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)

_STATUS: Mapping[type[DonmaiError], int] = {
    RequestInvalid: 400,
    ParamsInvalid: 400,
    UnsupportedOperation: 400,
    NotFound: 404,
    WrongState: 409,
    EditRefused: 409,
    ConfigInvalid: 409,
    ConfigUnwritable: 503,
    JournalUnavailable: 503,
    PlatformUnreachable: 503,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and content of one answer.

    `content` is JSON that the application redacts for a caller without the token, then renders. `rendered` is sent
    as it stands: whoever fills it has seen to the secrets.
    """

    content: Json = None
    status: int = 200
    rendered: bytes | None = None
    content_type: bytes = JSON_TYPE
    headers: tuple[tuple[bytes, bytes], ...] = ()


def encode(value: Json) -> bytes:
    """Compact JSON. Raises `ValueError` for NaN and the infinities, which JSON does not have."""
    return _encoder.encode(value).encode("ascii")


def text(content: str, content_type: bytes = TEXT_TYPE) -> Answer:
    """A plain text answer."""
    return Answer(rendered=content.encode(), content_type=content_type)


def refusal(status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """The one error shape."""
    return Answer(rendered=encode({"error": message, "code": code}), status=status, headers=headers)


def failure(error: DonmaiError) -> Answer:
    """The answer that says what went wrong. A class that is in no row of the table is our fault: 500."""
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    return refusal(status, error.code, error.message)
