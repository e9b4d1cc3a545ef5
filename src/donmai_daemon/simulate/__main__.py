"""One process of the simulator: a plan and orders on standard input, news on standard output.

The registration token is in the environment; the end of standard input is the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping

import anyio
import structlog

from donmai_daemon.link.address import address_of
from donmai_daemon.link.credentials import TOKEN_VARIABLE
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.secret import Secret
from donmai_daemon.simulate.crowd import Crowd
from donmai_daemon.simulate.messages import ORDER, PLAN, TICK, Order, Tick
from donmai_daemon.simulate.surroundings import Surroundings


async def run(environ: Mapping[str, str]) -> None:
    lines = await _standard_input()
    plan = PLAN.validate_json(await lines.readline())
    around = Surroundings(address_of(PlatformLink(url=plan.url), environ), plan.faults)
    await Crowd(plan, around, Secret(environ[TOKEN_VARIABLE]), _tell).run(_orders(lines))


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _orders(lines: asyncio.StreamReader) -> AsyncIterator[Order]:
    while line := await lines.readline():
        yield ORDER.validate_json(line)


def _tell(tick: Tick) -> None:
    sys.stdout.buffer.write(TICK.dump_json(tick) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    # What a thousand daemons have to say of one outage is said by the report.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    anyio.run(run, os.environ)
