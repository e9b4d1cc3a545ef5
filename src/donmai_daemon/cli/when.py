"""Times and durations as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str | None) -> datetime | None:
    """The moment that an RFC 3339 text names, None where there is none or it cannot be read."""
    try:
        parsed = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return parsed if parsed is None or parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def local(text: str | None) -> str:
    """Date and time of day in this machine's time zone, `-` where there is none."""
    parsed = moment(text)
    return parsed.astimezone().strftime("%Y-%m-%d %H:%M:%S") if parsed else "-"


def clock(text: str | None) -> str:
    """Time of day in this machine's time zone, `-` where there is none."""
    parsed = moment(text)
    return parsed.astimezone().strftime("%H:%M:%S") if parsed else "-"


def duration(seconds: float) -> str:
    """Two units at most: `4 s`, `3 min 20 s`, `2 h 5 min`, `6 d 1 h`."""
    whole = max(0, int(seconds))
    for size, name, small_size, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def ago(then: str | None, now: str | None) -> str | None:
    """How long before `now` the time `then` was, None where either is unknown. Both from one clock, so skew is no matter."""
    before, after = moment(then), moment(now)
    if before is None or after is None:
        return None
    elapsed = (after - before).total_seconds()
    return "just now" if elapsed < 1 else f"{duration(elapsed)} ago"
