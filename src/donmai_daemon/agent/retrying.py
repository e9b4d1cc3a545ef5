"""Which failures of a request may go away by themselves."""

from __future__ import annotations

from donmai_daemon.errors import DonmaiError, PlatformAnswerInvalid, PlatformRefused, PlatformUnreachable


def worth_retrying(error: DonmaiError) -> bool:
    """No answer, an unusable one, 5xx, 408, 429. Every other status is final."""
    if isinstance(error, PlatformRefused):
        return error.status >= 500 or error.status in {408, 429}
    return isinstance(error, PlatformUnreachable | PlatformAnswerInvalid)


def retry_after(error: DonmaiError) -> float | None:
    """Seconds the other side asked to wait, None where it did not."""
    return error.retry_after if isinstance(error, PlatformRefused) else None
