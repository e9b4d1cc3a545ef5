"""What admission and polling go by."""

from __future__ import annotations

import pytest

from donmai_daemon.model.config import Agent, Capacity, Config
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.runtime.standing import may_poll, standing

ABLE = Config(capacity=Capacity(2), agent=Agent(("agent",)))


def lifecycle(*, paused: bool = False) -> Lifecycle:
    made = Lifecycle(lambda: None)
    made.started()
    if paused:
        made.pause()
    return made


@pytest.mark.parametrize(
    ("config", "paused", "status", "registered", "refusing"),
    [
        (ABLE, False, None, True, None),
        (ABLE, False, HostStatus("ok"), True, None),
        (ABLE, True, None, True, "the host is paused"),
        (ABLE, False, HostStatus("pool_draining"), True, "the host takes no work: pool_draining"),
        (ABLE, False, None, False, "the host is not registered with a platform"),
        (Config(), False, None, True, "the host has no agent command configured"),
    ],
    ids=["able", "ok", "paused", "pool", "unregistered", "no agent"],
)
def test_every_reason_to_take_no_work_is_told(
    config: Config, paused: bool, status: HostStatus | None, registered: bool, refusing: str | None
) -> None:
    """Whoever could only fail work does not ask for it, and says why."""
    now = standing(config, lifecycle(paused=paused), HostState(status), 0, registered=registered)
    assert now.refusing == refusing
    assert may_poll(now) is (refusing is None)


@pytest.mark.parametrize(("active", "may"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_full_host_does_not_ask(active: int, may: bool) -> None:
    """A poll is a claim, so it is made for a free place only."""
    assert may_poll(standing(ABLE, lifecycle(), HostState(None), active, registered=True)) is may
