"""Times and durations."""

from __future__ import annotations

import pytest

from donmai_daemon.cli.when import ago, duration, moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 6 + 3700, "6 d 1 h"),
    ],
)
def test_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    """A duration is as exact as a person wants it."""
    assert duration(seconds) == text


def test_ago_compares_two_times_of_one_clock() -> None:
    """How long ago is unknown where either time is."""
    assert ago("2026-11-24T06:00:00.000Z", "2026-11-24T06:00:04.200Z") == "4 s ago"
    assert ago("2026-11-24T06:00:04.900Z", "2026-11-24T06:00:04.200Z") == "just now"
    assert ago(None, "2026-11-24T06:00:04.200Z") is None
    assert ago("yesterday", "2026-11-24T06:00:04.200Z") is None


def test_a_time_without_an_offset_is_utc() -> None:
    """A sender that forgot the offset is understood as the wire is meant."""
    assert moment("2026-11-24T06:00:00") == moment("2026-11-24T06:00:00Z")
