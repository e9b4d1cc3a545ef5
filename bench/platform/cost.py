"""CPU of one beat, by how many machines the platform knows: every size takes its turn in every round."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path

from bench.platform.figures import Figure
from bench.platform.fleet import Known, beat_of, beat_request, introduce, location_of, machines, tokens
from bench.platform.floor import bare_route, server_floors, sqlite_floors
from bench.platform.load import Connection, send_all
from bench.platform.processes import Costs, servers
from tests.support.platform import PlatformProcess
from tests.support.servers import Servers as RealServers

from donmai_daemon.platform.store.location import Servers
from donmai_daemon.platform.store.sqlite.database import FILE

EMBEDDED, SCALED = "SQLite", "PostgreSQL and Redis"
SIZES = (100, 1_000, 10_000, 100_000)
_BEATS = 2000
_ROUNDS = 7  # the first one warms up, and is not counted
_CONNECTIONS = 32
_AIM_RATE, _AIM_GROWTH = 3000, 1.3
_AIM_MICROS = 1e6 / _AIM_RATE


@dataclass
class Subject:
    """A server that answers beats. `options` name its store; `helpers` are the processes behind it, by name."""

    pid: int
    url: str
    senders: Sequence[tuple[Known, str]]
    options: tuple[str, ...] = ()
    helpers: dict[str, list[int]] = field(default_factory=dict)
    full_report: bool = False
    rounds: list[dict[str, float]] = field(default_factory=list)

    def requests(self, round_number: int) -> Iterator[bytes]:
        """The beats of one round: other machines every time, as far as there are so many."""
        first = round_number * _BEATS % len(self.senders)
        for number, (known, token) in enumerate(islice(cycle(self.senders), first, first + _BEATS)):
            beat = beat_of(round_number * _BEATS + number)
            if self.full_report:
                beat |= {
                    "allowlistHash": f"{number:064}",
                    "allowlist": [
                        {"id": f"p{n}", "repository": f"https://github.com/acme/p{n}"} for n in range(20)
                    ],
                    "enabledProjectIds": [f"p{n}" for n in range(20)],
                    "projectAdmissionMode": "enumerated",
                }
            yield beat_request(known, token, beat)

    async def take_a_turn(self, round_number: int) -> None:
        requests = [*self.requests(round_number)]
        connections = [await Connection.open(self.url) for _ in range(_CONNECTIONS)]
        await send_all(connections, requests[:_CONNECTIONS])  # so that every connection has been accepted
        costs = {"itself": Costs([self.pid])} | {name: Costs(pids) for name, pids in self.helpers.items()}
        answers = await send_all(connections, requests)
        self.rounds.append({name: cost.micros() / len(requests) for name, cost in costs.items()})
        assert all(b'"acknowledged":true' in answer for answer in answers)
        for connection in connections:
            connection.close()

    def micros(self, of: str = "itself") -> float:
        """CPU microseconds of a beat: the median of the rounds."""
        return statistics.median(one[of] for one in self.rounds[1:])


def measure(place: Path, real: RealServers, sizes: Sequence[int] = SIZES) -> dict[str, list[Figure]]:
    """Both stores with every size, busier beats on the second size, and the floors."""
    postgres, redis_server = servers()
    helpers = {"PostgreSQL": postgres, "Redis": redis_server}
    with ExitStack() as stack:

        def subject(kind: str, size: int, *, waiting: bool = False) -> Subject:
            print(f"{kind}, {size:,} machines …", file=sys.stderr, flush=True)
            directory = place / f"{kind}-{size}-{waiting}"
            directory.mkdir()
            options = real.new_store() if kind == SCALED else ["--data-dir", str(directory / "data")]
            return stack.enter_context(
                _known(directory, options, size, helpers if kind == SCALED else {}, waiting=waiting)
            )

        floors = {
            name: Subject(*stack.enter_context(bare_route(place, protocol)), senders=[(Known.number(0), "x" * 430)])
            for name, protocol in (("bare route, our HTTP", "ours"), ("bare route, uvicorn's h11", "h11"))
        }
        plain = {kind: [subject(kind, size) for size in sizes] for kind in (EMBEDDED, SCALED)}
        busier = {
            f"{kind}, {sizes[1]:,} machines, {what}": one
            for kind in plain
            for what, one in (
                ("a mutation of each not due yet", subject(kind, sizes[1], waiting=True)),
                ("another full report in each beat", replace(plain[kind][1], full_report=True, rounds=[])),
            )
        }
        asyncio.run(_take_turns([*floors.values(), *plain[EMBEDDED], *plain[SCALED], *busier.values()]))
        known, options = Known.number(0).worker_id, location_of(plain[SCALED][0].options)
        assert isinstance(options, Servers)
        least = [Figure(name, one.micros(), "µs") for name, one in floors.items()]
        # A machine that is slow today makes both slow: where an aim above is missed, this says whether it is the machine.
        least += [
            Figure(f"{kind}, {sizes[-1]:,} machines, against the first", ones[-1].micros() / least[0].value, "×")
            for kind, ones in plain.items()
        ]
        least += [
            Figure(name, value, "µs")
            for name, value in (
                *sqlite_floors(Path(plain[EMBEDDED][0].options[1]) / FILE, known),
                *server_floors(options.database_url.reveal(), options.redis_url.reveal(), known),
            )
        ]
    return {
        **{f"CPU of a beat with nothing pending, {kind}": _figures(ones, sizes) for kind, ones in plain.items()},
        "CPU of a beat that is busier": [Figure(name, one.micros(), "µs") for name, one in busier.items()],
        "For comparison, CPU of one": least,
    }


def _figures(ones: Sequence[Subject], sizes: Sequence[int]) -> list[Figure]:
    figures = [
        Figure(f"{size:,} machines known", one.micros(), "µs", _AIM_MICROS)
        for size, one in zip(sizes, ones, strict=True)
    ]
    growth = statistics.median(
        large["itself"] / small["itself"]
        for small, large in zip(ones[0].rounds[1:], ones[-1].rounds[1:], strict=True)
    )
    figures.append(
        Figure(f"{sizes[-1]:,} machines against {sizes[0]:,}, in the same rounds", growth, "×", _AIM_GROWTH)
    )
    rate = 1e6 / max(one.micros() for one in ones)
    figures.append(Figure("beats a second of one core, at the worst size", rate, "/s", _AIM_RATE, at_least=True))
    figures += [
        Figure(f"{name} beside it, {size:,} machines known", one.micros(name), "µs")
        for name in ones[0].helpers
        for size, one in zip(sizes, ones, strict=True)
    ]
    return figures


@contextmanager
def _known(
    directory: Path, options: Sequence[str], size: int, helpers: dict[str, list[int]], *, waiting: bool
) -> Iterator[Subject]:
    """A platform that knows `size` machines."""
    known = machines(size)
    introduce(options, known, waiting=waiting)
    chosen = random.Random(size).sample(known, min(size, _ROUNDS * _BEATS))  # noqa: S311 - no secret
    senders = [*zip(chosen, tokens(options, chosen), strict=True)]
    with PlatformProcess(options, directory / "log") as platform:
        yield Subject(platform.pid, platform.url, senders, tuple(options), helpers)


async def _take_turns(subjects: Sequence[Subject]) -> None:
    for round_number in range(_ROUNDS):
        print(f"round {round_number + 1} of {_ROUNDS} …", file=sys.stderr, flush=True)
        for one in subjects:
            await one.take_a_turn(round_number)
