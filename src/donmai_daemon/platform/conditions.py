"""What the platform refuses, and why: one class a condition, each with the HTTP status that says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.json import Json


class PlatformCondition(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """Root of what a request can meet on the platform. `status` is the HTTP status that tells it."""

    status: ClassVar[int] = 500


class RequestRefused(PlatformCondition):
    """The request cannot be understood. `field` is the dotted name of what is wrong, "" for all of it."""

    status = 400
    code = "bad_request"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class Unauthorized(PlatformCondition):
    """No credential, or one that is not (or no longer) good. Says nothing about which."""

    status = 401
    code = "unauthorized"


class Forbidden(PlatformCondition):
    """A good credential that may not do this."""

    status = 403
    code = "forbidden"


class Absent(PlatformCondition):
    """There is no such thing for this caller; another organisation's things are absent too."""

    status = 404
    code = "not_found"


class Conflict(PlatformCondition):
    """The thing is not in the state that the request needs. `body` replaces the usual answer where it is given."""

    status = 409
    code = "conflict"

    def __init__(self, message: str, body: Mapping[str, Json] | None = None) -> None:
        super().__init__(message)
        self.body = body


class BodyTooLarge(PlatformCondition):
    """The body is larger than this route takes."""

    status = 413
    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")
        self.limit = limit


class TooManyRequests(PlatformCondition):
    """This credential asks too often. `retry_after` is in seconds."""

    status = 429
    code = "rate_limited"

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


class StoreUnavailable(PlatformCondition):
    """The store does not take or give anything now; nothing of the request was recorded. Trying again later is right."""

    status = 503
    code = "store_unavailable"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the store is unavailable: {cause}")
        self.cause = cause


class StoreUnusable(DonmaiError):  # noqa: N818
    """The store cannot be opened: in use by another `platform serve`, too new, or not ours."""

    code = "store_unusable"
