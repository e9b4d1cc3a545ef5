"""What the platform says about this host, which holds until it says otherwise."""

from __future__ import annotations

from donmai_daemon.model.wire import HostStatus


class HostState:
    """The last known host status, kept in memory beside the journal's copy."""

    def __init__(self, status: HostStatus | None) -> None:
        self.status = status

    def told(self, status: HostStatus) -> None:
        """Take over what was just recorded."""
        self.status = status

    @property
    def may_claim(self) -> bool:
        """Whether new work may be claimed; with nothing ever told, yes."""
        return self.status is None or not self.status.blocks_claiming
