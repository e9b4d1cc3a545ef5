"""Whether this host takes work at all, in words."""

from __future__ import annotations

from donmai_daemon.model.config import Config
from donmai_daemon.runtime.host import HostState
from donmai_daemon.runtime.lifecycle import Lifecycle
from donmai_daemon.sessions.admission import Standing


def standing(config: Config, lifecycle: Lifecycle, host: HostState, active: int, *, registered: bool) -> Standing:
    """What admission goes by at this moment. A host without an agent command could only fail what it takes."""
    refusing: str | None = None
    if not lifecycle.accepting:
        refusing = f"the host is {lifecycle.state}"
    elif not host.may_claim:
        refusing = f"the host takes no work: {host.status.status if host.status else ''}"
    elif not registered:
        refusing = "the host is not registered with a platform"
    elif not config.agent.command:
        refusing = "the host has no agent command configured"
    return Standing(config, active, refusing)


def may_poll(standing: Standing) -> bool:
    """Whether work that a poll brings could begin."""
    return standing.refusing is None and standing.active < standing.config.capacity.max_sessions
