"""Mutations ordered through the platform's admin API, as fast as its rate limit lets."""

from __future__ import annotations

import json

import anyio

from donmai_daemon.errors import PlatformAnswerInvalid
from donmai_daemon.link.answer import Answer
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.simulate.effect import effect_of
from donmai_daemon.simulate.ledger import Ledger
from donmai_daemon.simulate.line import Line
from donmai_daemon.simulate.surroundings import LoopClock

_DEADLINE = 30.0
_TOO_MANY = 429
_PAGE = 500


class Orders:
    """Gives orders with an admin's key, and writes each into a ledger. Raises what `link.client` raises."""

    def __init__(self, line: Line, key: Secret, ledger: Ledger, run: str) -> None:
        """`run` tells these orders from those of other runs on the same platform."""
        self._line = line
        self._key = key
        self._ledger = ledger
        self._run = run
        self._clock = LoopClock()

    async def add_project(self, machine: int, host_id: str) -> None:
        """Order a project that no other order names."""
        name = f"sim-{self._run}-{len(self._ledger):06}"
        await self._order(
            machine, host_id, "project.add", {"id": name, "repository": f"https://github.com/acme/{name}.git"}
        )

    async def set_policy(self, machine: int, host_id: str, rows: int) -> None:
        """Order a model-access policy that no other order names, with so many rows more (each of some 60 bytes)."""
        name = f"sim-{self._run}-{len(self._ledger):06}"
        matrix: JsonObject = {name: {"byok": {"allowed": False}}}
        matrix |= {f"{name}-{row:03}": {"byok": {"allowed": False}} for row in range(rows)}
        await self._order(
            machine, host_id, "modelAccess.set", {"workload": "development", "policy": {"matrix": matrix}}
        )

    async def statuses(self, host_id: str) -> dict[str, int]:
        """What the platform says of the newest 500 mutations of a host: how many are in which status."""
        answer = await self._call("GET", f"/api/daemon/mutations?workerHostId={host_id}&limit={_PAGE}", None)
        found: dict[str, int] = {}
        listed = answer.get("mutations")
        for mutation in listed if isinstance(listed, list) else ():
            status = str(mutation.get("status")) if isinstance(mutation, dict) else "unreadable"
            found[status] = found.get(status, 0) + 1
        return found

    async def _order(self, machine: int, host_id: str, op: str, params: JsonObject) -> None:
        self._ledger.order(effect_of(op, params), machine, self._clock.monotonic())
        await self._call("POST", "/api/daemon/mutations", {"workerHostId": host_id, "op": op, "params": params})

    async def _call(self, method: str, path: str, body: JsonObject | None) -> JsonObject:
        headers = {"Authorization": f"Bearer {self._key.reveal()}"}
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        while True:
            answer: Answer = await self._line.request(
                method, path, headers=headers, body=content, deadline=_DEADLINE
            )
            if answer.status != _TOO_MANY:
                break
            await anyio.sleep(answer.retry_after or 1.0)
        if not answer.success:
            raise answer.refusal(self._key)
        payload = answer.json()
        if not isinstance(payload, dict):
            raise PlatformAnswerInvalid("the platform's answer is not a JSON object")
        return payload
