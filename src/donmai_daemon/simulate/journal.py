"""What a simulated daemon would have on its disk: it survives a restart, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from donmai_daemon.model.mutation import Ack, JournalCounts, MutationRequest


class MemoryJournal:
    """Inbox and outbox with the rules of the real journal, in memory: thousands of them fit into a process."""

    def __init__(self) -> None:
        self._pending: dict[str, MutationRequest] = {}
        self._settled: dict[str, str | None] = {}
        self._unsent: dict[str, Ack] = {}
        self._delivered: set[str] = set()
        self.accepted: tuple[str, str] | None = None
        """Worker id and digest of the report that the platform has last accepted."""
        self.accepted_at: str | None = None
        """RFC 3339."""

    def acks(self, limit: int) -> list[Ack]:
        """The next acks to send: fresh ones first, oldest first."""
        return sorted(self._unsent.values(), key=lambda ack: not ack.fresh)[:limit]

    def accept(self, delivered: Iterable[Ack], mutations: Iterable[MutationRequest]) -> tuple[list[str], list[str]]:
        """Record an answer: `delivered` are the acks of its beat. The ids never seen before, and those that should not
        have come again because their ack had been accepted."""
        for ack in delivered:
            self._unsent.pop(ack.id, None)
            self._delivered.add(ack.id)
        new, again = [], []
        for request in mutations:
            if request.id in self._settled:
                if request.id in self._delivered:
                    again.append(request.id)
                self._unsent.setdefault(request.id, Ack(request.id, self._settled[request.id], fresh=False))
            elif request.id not in self._pending:
                self._pending[request.id] = request
                new.append(request.id)
        return new, again

    def settle(self, outcome: Callable[[MutationRequest], str | None]) -> Sequence[MutationRequest]:
        """Settle what is pending, in first-seen order; `outcome` applies one and says why not. What was settled."""
        done = list(self._pending.values())
        for request in done:
            error = outcome(request)
            self._settled[request.id] = error
            self._unsent[request.id] = Ack(request.id, error)
        self._pending.clear()
        return done

    def counts(self) -> JournalCounts:
        """What waits."""
        fresh = sum(ack.fresh for ack in self._unsent.values())
        return JournalCounts(pending=len(self._pending), unsent=len(self._unsent), fresh=fresh)
