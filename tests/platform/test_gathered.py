"""Asking a server once for many: who shares a question, and what becomes of those who share a bad one."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from donmai_daemon.platform.conditions import StoreUnavailable
from donmai_daemon.platform.store.scaled.gathered import Gathered

pytestmark = pytest.mark.anyio


class Server:
    """Answers a key with its double, each question once it is let. `questions` is what it was asked."""

    def __init__(self) -> None:
        self.questions: list[list[int]] = []
        self.gates: list[anyio.Event] = []
        self.error: Exception | None = None

    async def ask(self, keys: Sequence[int]) -> list[int]:
        self.questions.append([*keys])
        self.gates.append(anyio.Event())
        await self.gates[-1].wait()
        if self.error is not None:
            raise self.error
        return [2 * key for key in keys]


async def test_those_who_ask_meanwhile_share_the_next_question() -> None:
    """The first is asked for at once; who comes while that is under way is asked for together, and each gets its own answer."""
    server = Server()
    gathered = Gathered(server.ask)
    answers: dict[int, int] = {}

    async def want(key: int) -> None:
        answers[key] = await gathered.one(key)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(want, 1)
        await anyio.wait_all_tasks_blocked()
        for key in (2, 3, 4):
            tasks.start_soon(want, key)
        await anyio.wait_all_tasks_blocked()
        assert server.questions == [[1]]
        server.gates[0].set()
        await anyio.wait_all_tasks_blocked()
        assert answers == {1: 2}
        assert server.questions == [[1], [2, 3, 4]]
        server.gates[1].set()
    assert answers == {1: 2, 2: 4, 3: 6, 4: 8}


async def test_a_question_has_a_limit() -> None:
    """However many wait, one question is not asked for more than 128 of them, and none is forgotten."""
    server = Server()
    gathered = Gathered(server.ask)
    answers = []

    async def want(key: int) -> None:
        answers.append(await gathered.one(key))

    async with anyio.create_task_group() as tasks:
        for key in range(300):
            tasks.start_soon(want, key)
        while len(answers) < 300:
            await anyio.wait_all_tasks_blocked()
            server.gates[-1].set()
    assert sorted(answers) == [2 * key for key in range(300)]
    assert max(map(len, server.questions)) == 128


async def test_a_failure_is_told_to_all_who_shared_it() -> None:
    """Each gets an error of its own with the same cause, and the next question is asked as if nothing had been."""
    server = Server()
    server.error = StoreUnavailable("gone")
    gathered = Gathered(server.ask)
    errors: list[StoreUnavailable] = []

    async def want(key: int) -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await gathered.one(key)
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(want, 1)
        tasks.start_soon(want, 2)
        await anyio.wait_all_tasks_blocked()
        server.gates[0].set()
    assert [error.cause for error in errors] == ["gone", "gone"]
    assert errors[0] is not errors[1]
    server.error = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_let_through, server)
        assert await gathered.one(5) == 10


async def test_one_who_leaves_takes_nobody_along() -> None:
    """A caller that is cancelled, even the one whose call asked the question, leaves the others their answers."""
    server = Server()
    gathered = Gathered(server.ask)
    answers = []

    async def want(key: int) -> None:
        answers.append(await gathered.one(key))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as leaving:
            async with anyio.create_task_group() as left:
                left.start_soon(want, 1)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(want, 2)
                await anyio.wait_all_tasks_blocked()
                leaving.cancel()
        for _ in range(2):
            server.gates[-1].set()
            await anyio.wait_all_tasks_blocked()
    assert answers == [4]


async def _let_through(server: Server) -> None:
    await anyio.wait_all_tasks_blocked()
    server.gates[-1].set()
