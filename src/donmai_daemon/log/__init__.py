"""Logging: one line an event, no secrets in it, to the stream of the process and to a file that stays small.

An entry point calls `setup` once. Everybody else asks structlog for a logger, and gives it constant events with
fields. What the standard library's loggers say (uvicorn, httpx, asyncio) arrives here too, from warnings up.
"""

from __future__ import annotations

from donmai_daemon.log.masking import masked
from donmai_daemon.log.setup import Logging, is_journal, setup

__all__ = ["Logging", "is_journal", "masked", "setup"]
