"""A simulation from the first process to the last word."""

from __future__ import annotations

import random
import signal
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio

from donmai_daemon.cli.console import ReaderGone
from donmai_daemon.cli.simulate_output import show
from donmai_daemon.cli.simulate_platform import platform
from donmai_daemon.cli.simulate_processes import Fleet, allow_descriptors, default_processes
from donmai_daemon.cli.simulate_scenarios import SCENARIOS, exactly_once
from donmai_daemon.cli.simulate_stage import Sizes, Stage
from donmai_daemon.clock import SystemClock
from donmai_daemon.errors import DonmaiError, UsageError
from donmai_daemon.link.address import address_of
from donmai_daemon.log.setup import setup
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.simulate.faults import Faults
from donmai_daemon.simulate.ledger import Ledger
from donmai_daemon.simulate.line import Line
from donmai_daemon.simulate.messages import Plan
from donmai_daemon.simulate.orders import Orders
from donmai_daemon.simulate.report import Report
from donmai_daemon.simulate.surroundings import Surroundings

if TYPE_CHECKING:
    from argparse import Namespace

    from anyio.abc import TaskGroup

    from donmai_daemon.cli.console import Console
    from donmai_daemon.cli.simulate_platform import Target

_PROGRESS_SECONDS = 5.0
_INTERRUPTED = 130
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def simulate(arguments: Namespace, console: Console) -> int:
    """Play one scenario and report. Raises `UsageError`, and `DonmaiError` where it cannot be played."""
    processes = arguments.processes or default_processes(arguments.hosts)
    allow_descriptors(arguments.hosts if not arguments.url else -(-arguments.hosts // processes))
    report = Report(arguments.scenario, arguments.hosts, arguments.interval)
    logging = setup("error", "auto", sys.stderr)
    try:
        anyio.run(_play, arguments, processes, report, console)
    finally:
        logging.close()
    if arguments.json:
        console.json(report.to_json())
    else:
        show(report, console)
    if report.interrupted:
        return _INTERRUPTED
    return 0 if report.held else 1


async def _play(arguments: Namespace, processes: int, report: Report, console: Console) -> None:
    """Fill in `report`, up to the end or until a signal."""
    failures: list[DonmaiError] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_interrupt, tasks.cancel_scope, report)
        try:
            async with platform(arguments, console) as target:
                await _play_before(target, arguments, processes, report, console, tasks)
        except DonmaiError as error:  # raised in here it would come out in a group
            failures.append(error)
        tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _play_before(
    target: Target,
    arguments: Namespace,
    processes: int,
    report: Report,
    console: Console,
    tasks: TaskGroup,
) -> None:
    """Raise the machines before `target`; `tasks` ends soon after this does."""
    plans = _plans(target.url, arguments, processes)
    fleet, ledger = Fleet(plans, target.worker, console.environ), Ledger()
    around = Surroundings(address_of(PlatformLink(url=target.url), {}), Faults())
    sizes = Sizes(arguments.interval, arguments.measure, arguments.outage, arguments.share, arguments.queued)
    scenario = SCENARIOS[arguments.scenario]()
    if scenario.gives_orders and target.admin is None:
        raise UsageError(
            "this scenario gives orders: DONMAI_API_KEY must hold a key of an admin or owner",
            hint="make one: donmai platform key create --org ORG --role admin",
        )
    clock = SystemClock()
    async with Line(around, random.Random(0)) as line:  # noqa: S311 - it has no faults to draw
        run = random.SystemRandom().randbytes(4).hex()
        orders = None if target.admin is None else Orders(line, target.admin, ledger, run)
        stage = Stage(target, fleet, orders, ledger, report, sizes, plans[0], clock, clock.monotonic())
        played = False
        try:
            async with fleet.run():
                tasks.start_soon(_progress, stage, console)
                await stage.assemble()
                await scenario.play(stage)
                played = True
        finally:
            stage.draw()
            if played:
                scenario.judge(stage)
            exactly_once(stage)
            _faults(stage)


def _plans(url: str, arguments: Namespace, processes: int) -> list[Plan]:
    faults = Faults(arguments.lost, arguments.repeat, arguments.restart)
    edges = [arguments.hosts * index // processes for index in range(processes + 1)]
    return [
        Plan(url, first, end - first, arguments.seed, arguments.interval, arguments.held, faults)
        for first, end in pairwise(edges)
        if end > first
    ]


def _faults(stage: Stage) -> None:
    tally = stage.fleet.tally
    stage.figure("beats", "beats accepted in all", tally.beats)
    for name, label, value in (
        ("lost", "answers lost on purpose", tally.lost),
        ("repeated", "requests repeated on purpose", tally.repeated),
        ("restarts", "restarts on purpose", tally.restarts),
    ):
        if value:
            stage.figure(name, label, value)


async def _interrupt(scope: anyio.CancelScope, report: Report) -> None:
    # One that was ignored when this process started (nohup, a background job) stays ignored.
    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heeded) as signals:
        async for _ in signals:
            report.interrupted = True
            scope.cancel()
            return


async def _progress(stage: Stage, console: Console) -> None:
    while True:
        await anyio.sleep(_PROGRESS_SECONDS)
        fleet, now = stage.fleet, stage.now()
        rate = stage.requests.rate(now - _PROGRESS_SECONDS - 1, now - 1)  # what is younger may not be told yet
        waiting = "registering" if len(fleet.hosts) < fleet.machines else "settling"
        what = stage.report.marks[-1][1] if stage.report.marks else waiting
        try:
            console.note(
                f"{now - stage.began:6.0f} s  {what:<11}  {len(fleet.hosts):,} of {fleet.machines:,} registered  "
                f"{rate:,.1f} requests/s  {fleet.down:,} down"
            )
        except ReaderGone:
            return  # the report may still be wanted
