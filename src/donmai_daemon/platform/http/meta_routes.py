"""Routes about the platform itself."""

from __future__ import annotations

from collections.abc import Sequence

from donmai_daemon.platform.http.endpoint import Call, Endpoint, Reply
from donmai_daemon.platform.http.metrics import Metrics
from donmai_daemon.platform.store.ports import Store


class MetaRoutes:
    """Health and numbers; no credential needed, nothing secret shown."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def endpoints(self) -> Sequence[Endpoint]:
        return (
            Endpoint("GET", "/healthz", "healthz", self.healthz),
            Endpoint("GET", "/readyz", "readyz", self.readyz),
            Endpoint("GET", "/metrics", "metrics", self.metrics),
        )

    async def healthz(self, _call: Call) -> Reply:
        return Reply(b"ok\n", media_type="text/plain; charset=utf-8")

    async def readyz(self, _call: Call) -> Reply:
        await self._store.ready()
        return Reply(b"ok\n", media_type="text/plain; charset=utf-8")

    async def metrics(self, _call: Call) -> Reply:
        return Reply(self._metrics.text().encode(), media_type="text/plain; version=0.0.4; charset=utf-8")
