"""How long a generated test searches: the same examples at every run of the suite, so that a failure is one for all."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def bounded(examples: int) -> settings:
    """So many examples, drawn the same way every time, without a deadline: the machine is shared."""
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )
