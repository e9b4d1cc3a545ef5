"""Routes about the platform itself."""

from __future__ import annotations

from collections.abc import Sequence

from donmai_daemon.model.exposition import CONTENT_TYPE
from donmai_daemon.model.json import JsonObject
from donmai_daemon.platform.http.endpoint import Call, Endpoint, Handler, Reply
from donmai_daemon.platform.http.fleet import Fleet
from donmai_daemon.platform.http.metrics import Metrics
from donmai_daemon.platform.http.openapi import describe
from donmai_daemon.platform.store.ports import Store


class MetaRoutes:
    """Health and numbers; no credential needed, nothing secret shown."""

    def __init__(self, store: Store, metrics: Metrics, fleet: Fleet) -> None:
        self._store = store
        self._metrics = metrics
        self._fleet = fleet
        self._description: JsonObject = {}

    def endpoints(self, others: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The routes; `others` are described beside them."""
        own = (
            self._text("/healthz", "healthz", self.healthz, "The process answers"),
            self._text("/readyz", "readyz", self.readyz, "The store answers too"),
            self._text("/metrics", "metrics", self.metrics, "Numbers in Prometheus' text format"),
            Endpoint(
                method="GET",
                path="/openapi.json",
                operation="openapi",
                handler=self.openapi,
                summary="This description",
                credential="none",
                answer={"type": "object"},
            ),
        )
        self._description = describe([*others, *own])
        return own

    @staticmethod
    def _text(path: str, operation: str, handler: Handler, summary: str) -> Endpoint:
        return Endpoint(
            method="GET",
            path=path,
            operation=operation,
            handler=handler,
            summary=summary,
            credential="none",
            answer=None,
        )

    async def healthz(self, _call: Call) -> Reply:
        return Reply(b"ok\n", media_type="text/plain; charset=utf-8")

    async def readyz(self, _call: Call) -> Reply:
        await self._store.ready()
        return Reply(b"ok\n", media_type="text/plain; charset=utf-8")

    async def metrics(self, _call: Call) -> Reply:
        text = self._metrics.text() + await self._fleet.text()
        return Reply(text.encode(), media_type=CONTENT_TYPE)

    async def openapi(self, _call: Call) -> Reply:
        return Reply(self._description)
