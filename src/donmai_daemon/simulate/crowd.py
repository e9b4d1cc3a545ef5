"""The machines of one process, and the orders that reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anyio

from donmai_daemon.model.secret import Secret
from donmai_daemon.simulate.machine import Machine
from donmai_daemon.simulate.messages import Order, Plan, Tick
from donmai_daemon.simulate.surroundings import Surroundings
from donmai_daemon.simulate.tally import Tally

_TICK_SECONDS = 0.5


class Crowd:
    """Runs machines, and tells twice a second what they did."""

    def __init__(self, plan: Plan, around: Surroundings, token: Secret, tell: Callable[[Tick], None]) -> None:
        numbers = range(plan.first, plan.first + plan.machines)
        self._machines = {number: Machine(number, plan, around, token) for number in numbers}
        self._around = around
        self._registering = anyio.CapacityLimiter(plan.registering)
        self._waiting = plan.machines
        self._complete = anyio.Event()
        self._hosts: dict[int, str] = {}
        self._tell = tell

    async def run(self, orders: AsyncIterator[Order]) -> None:
        """Until there are no more orders to come."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report)
            for machine in self._machines.values():
                tasks.start_soon(self._run, machine)
            async for order in orders:
                self._obey(order)
            tasks.cancel_scope.cancel()
        self._tick()

    async def _run(self, machine: Machine) -> None:
        async with self._registering:
            self._hosts[machine.number] = await machine.join()
        self._waiting -= 1
        if not self._waiting:
            self._complete.set()
        await self._complete.wait()  # beats would only slow down the registration of the rest
        await machine.live()

    def _obey(self, order: Order) -> None:
        match order.act:
            case "cut" | "mend":
                self._around.cut = order.act == "cut"
                if self._around.cut:
                    for machine in self._machines.values():
                        machine.hang_up()
            case "pause" | "resume":
                machine = self._machines[order.machine]
                machine.pause() if order.act == "pause" else machine.resume()

    async def _report(self) -> None:
        while True:
            await anyio.sleep(_TICK_SECONDS)
            self._tick()

    def _tick(self) -> None:
        done, self._around.tally = self._around.tally, Tally()
        hosts, self._hosts = self._hosts, {}
        machines = self._machines.values()
        interval = max(machine.interval for machine in machines)
        self._tell(Tick(done, sum(machine.down for machine in machines), interval, hosts))
