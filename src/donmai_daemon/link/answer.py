"""Answers of the platform: bytes in, JSON or a reason out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn

from donmai_daemon.errors import PlatformAnswerInvalid, PlatformRefused
from donmai_daemon.model.json import Json
from donmai_daemon.model.secret import Secret

MAX_DETAIL_CHARS = 512

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer. `problem` says why `body` is not the whole body (cut, too large, compressed), else None."""

    status: int
    body: bytes
    problem: str | None = None
    retry_after: float | None = None
    """Seconds from the arrival of the answer."""

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Json:
        """The body as JSON. Raises `PlatformAnswerInvalid`."""
        if self.problem is not None:
            raise PlatformAnswerInvalid(f"the platform's answer {self.problem}")
        try:
            return read_json(self.body)
        except ValueError as error:
            raise PlatformAnswerInvalid(
                "the platform's answer is not JSON",
                hint="something else answers at platform.url (a login page, a proxy)"
                if b"<" in self.body[:64]
                else None,
            ) from error

    def json_or_none(self) -> Json:
        """The body as JSON; None where it is none."""
        try:
            return self.json()
        except PlatformAnswerInvalid:
            return None

    def refusal(self, bearer: Secret) -> PlatformRefused:
        """The error that an answer without success stands for; `bearer` is blotted out where the platform repeats it."""
        payload = self.json_or_none()
        text = payload.get("error") if isinstance(payload, dict) else None
        detail = text.replace(bearer.reveal(), "***") if isinstance(text, str) else ""
        detail = "".join(c if c.isprintable() else " " for c in detail)[:MAX_DETAIL_CHARS]
        return PlatformRefused(self.status, detail, self.retry_after)


def read_json(body: bytes) -> Json:
    """Read JSON (RFC 8259) strictly. Raises `ValueError`.

    A lone surrogate (`"\\ud800"`) is legal JSON and no legal text: it could be neither stored nor sent on, so one bad
    string would sink everything delivered with it. It becomes U+FFFD here.
    """
    try:
        value: Json = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        return _without_surrogates(value) if b"\\u" in body else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_surrogates(value: Json) -> Json:
    if isinstance(value, str):
        return _SURROGATE.sub("�", value)
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_SURROGATE.sub("�", name): _without_surrogates(element) for name, element in value.items()}
    return value
