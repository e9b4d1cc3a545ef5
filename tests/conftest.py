"""Fixtures that every test shares."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """asyncio is the one event loop that the daemon supports."""
    return "asyncio"
