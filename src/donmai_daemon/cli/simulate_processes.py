"""The processes of a simulation: started, heard, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from donmai_daemon.cli.child import die_with_parent, how_it_ended
from donmai_daemon.cli.dev_directory import child_environment
from donmai_daemon.errors import DonmaiError
from donmai_daemon.link.credentials import TOKEN_VARIABLE
from donmai_daemon.simulate.messages import ORDER, PLAN, TICK, Order, Plan, Tick
from donmai_daemon.simulate.tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import IO

    from donmai_daemon.model.secret import Secret

_MAX_LINE = 64 * 1024 * 1024
_END_SECONDS = 10.0
_SPARE_DESCRIPTORS = 256


@asynccontextmanager
async def running(
    command: Sequence[str], environ: Mapping[str, str], errors: IO[bytes] | None, end_seconds: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child for as long as the context lasts, or this process lives. It is ended by SIGTERM, and after `end_seconds` by
    SIGKILL; its standard error goes to `errors`, or where ours goes."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env=dict(environ),
        limit=_MAX_LINE,
        start_new_session=True,  # Ctrl-C at the terminal reaches us alone, and we end it in order
        preexec_fn=die_with_parent(),
    )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with anyio.move_on_after(end_seconds):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()


def allow_descriptors(needed: int) -> None:
    """Raise this process's limit of open files, which children inherit. Raises `DonmaiError` where `needed` are too many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed += _SPARE_DESCRIPTORS
    if most != resource.RLIM_INFINITY and most < needed:
        raise DonmaiError(
            f"a process needs {needed} open files, and the system allows {most}",
            hint=f"raise the hard limit (ulimit -Hn {needed}), or simulate fewer machines",
        )
    with contextlib.suppress(OSError, ValueError):  # macOS refuses what it calls unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Fleet:
    """All machines. What they report is added up; `changed` is called after each report."""

    def __init__(self, plans: Sequence[Plan], token: Secret, environ: Mapping[str, str]) -> None:
        self._plans = plans
        self._environ = {**child_environment(environ), TOKEN_VARIABLE: token.reveal()}
        self._inputs: dict[int, asyncio.StreamWriter] = {}
        self._down: dict[int, int] = {}
        self._changed = anyio.Event()
        self.machines = sum(plan.machines for plan in plans)
        self.tally = Tally()
        """Since the start."""
        self.stretch = Tally()
        """Since `begin_stretch`."""
        self.interval = 0.0
        """Seconds between beats, as the platform has set it."""
        self.hosts: dict[int, str] = {}
        """The platform's ids of those that have registered, by number."""

    @property
    def down(self) -> int:
        """Machines whose last request was in vain."""
        return sum(self._down.values())

    def begin_stretch(self) -> Tally:
        """Count anew in `stretch`; what it was."""
        done, self.stretch = self.stretch, Tally()
        return done

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """The processes, for as long as the context lasts. What they report on their way out is counted.

        Raises what the context raises, and `DonmaiError` where a process ends by itself, which cancels the context.
        """
        failures: list[DonmaiError] = []
        async with anyio.create_task_group() as tasks:
            ending = anyio.Event()
            for index, plan in enumerate(self._plans):
                tasks.start_soon(self._run, index, plan, ending, failures, tasks.cancel_scope)
            try:
                yield
            except DonmaiError as error:  # raised in here it would come out in a group
                failures.append(error)
            finally:
                ending.set()
        if failures:
            raise failures[0]

    async def order(self, order: Order) -> None:
        """Give an order to the machine it names, or to all."""
        for index, plan in enumerate(self._plans):
            if order.machine < 0 or plan.first <= order.machine < plan.first + plan.machines:
                await _write(self._inputs[index], ORDER.dump_json(order))

    async def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Whether `done()` held within so long; asked after every report."""
        with anyio.move_on_after(seconds):
            while not done():
                await self._changed.wait()
        return done()

    async def _run(
        self,
        index: int,
        plan: Plan,
        ending: anyio.Event,
        failures: list[DonmaiError],
        everything: anyio.CancelScope,
    ) -> None:
        command = [sys.executable, "-m", "donmai_daemon.simulate"]
        with anyio.CancelScope(shield=True):
            async with (
                running(command, self._environ, None, _END_SECONDS) as process,
                anyio.create_task_group() as tasks,
            ):
                assert process.stdin is not None
                self._inputs[index] = process.stdin
                await _write(process.stdin, PLAN.dump_json(plan))
                tasks.start_soon(_close_when, ending, process.stdin, tasks.cancel_scope)
                await self._hear(index, process)
                if not ending.is_set():
                    ended = how_it_ended(await process.wait())
                    failures.append(DonmaiError(f"a process of the simulation ended by itself ({ended})"))
                    everything.cancel()
                tasks.cancel_scope.cancel()

    async def _hear(self, index: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            tick: Tick = TICK.validate_json(line)
            self.tally.add(tick.tally)
            self.stretch.add(tick.tally)
            self.hosts |= tick.hosts
            self.interval = tick.interval
            self._down[index] = tick.down
            self._changed.set()
            self._changed = anyio.Event()


async def _close_when(ending: anyio.Event, stream: asyncio.StreamWriter, patience: anyio.CancelScope) -> None:
    """The end of its input tells a process to end, which it has so long for."""
    await ending.wait()
    stream.close()
    await anyio.sleep(_END_SECONDS)
    patience.cancel()


async def _write(stream: asyncio.StreamWriter, line: bytes) -> None:
    stream.write(line + b"\n")
    await stream.drain()


def default_processes(hosts: int) -> int:
    """One for 2,500 machines or part of them, but not more than there are processors."""
    return max(1, min(os.cpu_count() or 1, -(-hosts // 2500)))
