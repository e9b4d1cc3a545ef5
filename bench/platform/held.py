"""Ten thousand beats held by one process: what each weighs, and what it costs until it is held."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.platform.figures import Figure
from bench.platform.fleet import Known, beat_of, beat_request, introduce, machines, tokens
from bench.platform.load import Connection, send_all
from bench.platform.processes import Costs, resident_mib
from tests.support.platform import PlatformProcess
from tests.support.servers import Servers

BEATS = 10_000
_WARM_UP = 500
_WAIT_SECONDS = 3000
"""Longer than this takes."""
_AT_ONCE = 500
_HELD = re.compile(r"^donmai_platform_held_beats ([0-9]+)", re.MULTILINE)


def measure(place: Path, real: Servers) -> dict[str, list[Figure]]:
    """On both stores."""
    figures = []
    for name, options in (
        ("SQLite", ["--data-dir", str(place / "held")]),
        ("PostgreSQL and Redis", real.new_store()),
    ):
        print(f"{BEATS:,} held beats, {name} …", file=sys.stderr, flush=True)
        known = machines(BEATS)
        introduce(options, known)
        senders = [*zip(known, tokens(options, known), strict=True)]
        interval = ("--heartbeat-interval", str(_WAIT_SECONDS))
        with PlatformProcess(options, place / f"held-{name}.log", interval) as platform:
            mib, micros = asyncio.run(_hold(platform, senders))
        figures += [
            Figure(f"{name}, all of them", mib, "MiB"),
            Figure(f"{name}, each", mib * 1024 / BEATS, "KiB"),
            Figure(f"{name}, CPU of each, with its connection", micros, "µs"),
        ]
    return {f"{BEATS:,} held beats of one process": figures}


async def _hold(platform: PlatformProcess, senders: Sequence[tuple[Known, str]]) -> tuple[float, float]:
    """MiB by which the process has grown once all are held, and CPU microseconds that each has cost until then."""
    warm = await Connection.open(platform.url)
    await send_all([warm], [beat_request(known, token, beat_of(1)) for known, token in senders[:_WARM_UP]])
    before, costs = resident_mib(platform.pid), Costs([platform.pid])
    connections: list[Connection] = []
    async with asyncio.TaskGroup() as tasks:
        answers = []
        for known, token in senders:
            connections.append(await Connection.open(platform.url))
            request = beat_request(known, token, beat_of(2), wait=_WAIT_SECONDS)
            answers.append(tasks.create_task(connections[-1].request(request)))
            if len(answers) % _AT_ONCE == 0:
                await _until_held(platform, len(answers))
        mib = resident_mib(platform.pid) - before
        micros = costs.micros() / len(senders)
        for answer in answers:
            answer.cancel()
    for connection in (warm, *connections):
        connection.close()
    return mib, micros


async def _until_held(platform: PlatformProcess, count: int) -> None:
    """The platform says how many it holds, and to nobody of its own accord: it has to be asked."""
    while True:
        answer = await asyncio.to_thread(platform.call, "GET", "/metrics")
        found = _HELD.search(answer.text)
        if found is not None and int(found[1]) >= count:
            return
        await asyncio.sleep(0.02)
