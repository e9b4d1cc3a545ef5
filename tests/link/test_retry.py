"""How long the link waits."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from tests.support.clock import FakeClock

from donmai_daemon.link.retry import MAX_RETRY_AFTER, Backoff, Bucket, parse_retry_after

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


class Always(random.Random):
    """A random number generator that has made up its mind."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


def test_delays_double_up_to_the_cap() -> None:
    """The longest delay doubles from one second and stops at the cap."""
    backoff = Backoff(Always(1.0))
    assert [backoff.next(cap=20) for _ in range(7)] == [1, 2, 4, 8, 16, 20, 20]


def test_reset_begins_anew() -> None:
    """After a success the next failure is the first again."""
    backoff = Backoff(Always(1.0))
    backoff.next(cap=100)
    backoff.next(cap=100)
    backoff.reset()
    assert backoff.next(cap=100) == 1


def test_jitter_applies_after_the_cap() -> None:
    """A thousand machines that all reached the cap wait a thousand different times, over the whole span."""
    delays = []
    for seed in range(1000):
        backoff = Backoff(random.Random(seed))
        delays.append([backoff.next(cap=120) for _ in range(20)][-1])
    assert len(set(delays)) > 990
    assert max(delays) <= 120
    assert min(delays) < 12
    assert max(delays) > 108


def test_many_failures_do_not_overflow() -> None:
    """Ten thousand failures in a row still give a delay within the cap."""
    backoff = Backoff(Always(1.0))
    assert {backoff.next(cap=240) for _ in range(10_000)} == {1, 2, 4, 8, 16, 32, 64, 128, 240}


@pytest.mark.parametrize(("retry_after", "at_least"), [(None, 0.0), (0.0, 0.0), (-5.0, 0.0), (7.0, 7.0)])
def test_retry_after_only_lengthens(retry_after: float | None, at_least: float) -> None:
    """The delay is never shorter than without Retry-After, nor shorter than Retry-After."""
    for share in (0.0, 0.5, 1.0):
        plain = Backoff(Always(share)).next(cap=120)
        delay = Backoff(Always(share)).next(cap=120, retry_after=retry_after)
        assert delay >= plain
        assert delay >= at_least


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 15 ", 15.0),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("Tue, 24 Nov 2026 06:00:30 GMT", 30.0),
        ("Tuesday, 24-Nov-26 06:00:30 GMT", 30.0),
        ("Tue Nov 24 06:00:30 2026", 30.0),
        ("Tue, 24 Nov 2026 05:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2099 05:00:00 GMT", MAX_RETRY_AFTER),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("١٢", None),
        ("Tue, 99 Nov 2026 06:00:30 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """Both forms of Retry-After are read, bounded by an hour, and nonsense says nothing."""
    assert parse_retry_after(value, NOW) == seconds


async def test_bucket_gives_the_burst_and_then_one_a_second() -> None:
    """Five tokens are there at once; a sixth comes after exactly the second that the bucket names."""
    clock = FakeClock()
    bucket = Bucket(clock)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    assert bucket.delay() == 1.0
    clock.step(0.4)
    assert bucket.delay() == pytest.approx(0.6)
    assert not bucket.take()
    clock.step(bucket.delay())
    assert bucket.delay() == 0.0
    assert bucket.take()
    assert not bucket.take()


async def test_bucket_never_holds_more_than_the_burst() -> None:
    """A night of silence does not fill the bucket beyond its burst."""
    clock = FakeClock()
    bucket = Bucket(clock)
    clock.step(86_400)
    assert sum(bucket.take() for _ in range(100)) == 5
