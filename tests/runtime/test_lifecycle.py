"""What may follow what, and who is told: the daemon's states, and the requests that move them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from donmai_daemon.errors import ConfigUnwritable, WrongState
from donmai_daemon.runtime.applier import Applied
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.steering import RESTART_ME, Steering

MOVES: dict[str, Callable[[Lifecycle], None]] = {
    "started": Lifecycle.started,
    "pause": Lifecycle.pause,
    "resume": Lifecycle.resume,
    "drain": Lifecycle.drain,
}


def brought_to(state: str, told: list[str]) -> Lifecycle:
    """A daemon in this state, by the way that leads there; `told` gets every state it is in after a change."""
    lifecycle = Lifecycle(lambda: told.append(lifecycle.state))
    for move in {"starting": "", "ready": "started", "paused": "started pause", "draining": "started drain"}[
        state
    ].split():
        MOVES[move](lifecycle)
    told.clear()
    return lifecycle


@pytest.mark.parametrize(
    ("state", "move", "to"),
    [
        ("starting", "started", "ready"),
        ("ready", "pause", "paused"),
        ("ready", "drain", "draining"),
        ("paused", "resume", "ready"),
        ("paused", "drain", "draining"),
        ("draining", "resume", "ready"),
    ],
)
def test_a_legal_move_is_made_and_told_once(state: str, move: str, to: str) -> None:
    """Whoever has to tell the platform hears of each change."""
    told: list[str] = []
    lifecycle = brought_to(state, told)
    MOVES[move](lifecycle)
    assert (lifecycle.state, told, lifecycle.accepting) == (to, [to], to == "ready")


@pytest.mark.parametrize(
    ("state", "move"),
    [
        ("starting", "pause"),
        ("starting", "resume"),
        ("starting", "drain"),
        ("ready", "started"),
        ("ready", "resume"),
        ("paused", "pause"),
        ("draining", "pause"),
        ("draining", "drain"),
    ],
)
def test_an_illegal_move_changes_nothing(state: str, move: str) -> None:
    """It is refused with the state as the reason, and nobody is told of a change."""
    told: list[str] = []
    lifecycle = brought_to(state, told)
    with pytest.raises(WrongState, match=f"the daemon is {state}"):
        MOVES[move](lifecycle)
    assert (lifecycle.state, told) == (state, [])


@pytest.mark.parametrize("state", ["starting", "ready", "paused", "draining"])
def test_nothing_turns_a_stop_back(state: str) -> None:
    """From any state; twice is once; and no resume, however late it comes, lets work begin again."""
    told: list[str] = []
    lifecycle = brought_to(state, told)
    lifecycle.stop()
    lifecycle.stop()
    with pytest.raises(WrongState, match="stopping"):
        lifecycle.resume()
    assert (lifecycle.state, lifecycle.stopping, told) == ("draining", True, ["draining"])


class Desk:
    """Steering, with what it calls."""

    def __init__(self) -> None:
        self.lifecycle = Lifecycle(lambda: None)
        self.lifecycle.started()
        self.applied = Applied()
        self.looked = 0
        self.steering = Steering(self.lifecycle, self._refresh, self._look_again)

    async def _refresh(self) -> Applied:
        return self.applied

    def _look_again(self) -> None:
        self.looked += 1


@pytest.mark.anyio
async def test_a_second_request_skips_the_waiting_and_keeps_the_exit_code() -> None:
    """A restart that is asked for stays one, whatever signal hurries it."""
    desk = Desk()
    await desk.steering.restart()
    assert desk.lifecycle.stopping
    assert (desk.steering.wanted.is_set(), desk.steering.at_once.is_set()) == (True, False)
    desk.steering.signalled("SIGTERM")
    assert desk.steering.at_once.is_set()
    assert desk.steering.exit_code == RESTART_ME


@pytest.mark.anyio
async def test_a_reload_says_when_the_file_cannot_be_used() -> None:
    """And in any case what the platform refused may be tried again."""
    desk = Desk()
    assert await desk.steering.reload() == "configuration read"
    desk.applied = Applied(problem=ConfigUnwritable("it is a directory"))
    with pytest.raises(ConfigUnwritable):
        await desk.steering.reload()
    assert desk.looked == 2
