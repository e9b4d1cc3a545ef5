"""Fixtures that every test shares."""

from __future__ import annotations

import signal

import pytest

for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    # In the background and under nohup they are ignored, and would be by every program that a test starts and signals.
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture
def anyio_backend() -> str:
    """asyncio is the one event loop that the daemon supports."""
    return "asyncio"
