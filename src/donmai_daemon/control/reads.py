"""Routes that only look."""

from __future__ import annotations

from collections.abc import Sequence

from donmai_daemon.control import doctor, metrics, views
from donmai_daemon.control.answer import Answer, refusal, text
from donmai_daemon.control.ports import StatusPort
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import Route
from donmai_daemon.control.views import LastingJson
from donmai_daemon.model.exposition import CONTENT_TYPE


def read_routes(port: StatusPort) -> Sequence[Route]:
    """Liveness, status in its forms, settings, self-examination, metrics."""
    status_json = LastingJson(views.lasting_status)
    stats_json = LastingJson(views.lasting_stats)

    async def healthz(_request: Request) -> Answer:
        return text("ok")

    async def readyz(_request: Request) -> Answer:
        if port.snapshot().beat.ready:
            return text("ok")
        return refusal(503, "not_ready", "not registered, or no beat was accepted within three intervals")

    async def status(request: Request) -> Answer:
        snapshot = port.snapshot()
        live = views.live_status(snapshot)
        return Answer(rendered=status_json.join(live, snapshot, trusted=request.caller.trusted))

    async def stats(request: Request) -> Answer:
        snapshot = port.snapshot()
        live = views.live_stats(snapshot)
        return Answer(rendered=stats_json.join(live, snapshot, trusted=request.caller.trusted))

    async def heartbeat(_request: Request) -> Answer:
        return Answer(views.heartbeat(port.snapshot()))

    async def config(_request: Request) -> Answer:
        return Answer(views.effective_settings(port.effective_settings()))

    async def examination(_request: Request) -> Answer:
        return Answer(doctor.to_json(doctor.examine(port.snapshot())))

    async def prometheus(_request: Request) -> Answer:
        return text(metrics.exposition(port.snapshot()), CONTENT_TYPE.encode())

    return (
        Route("GET", "/healthz", healthz, "Whether the process answers", {200: "text/plain"}),
        Route("GET", "/readyz", readyz, "Whether it is registered and beating", {200: "text/plain"}),
        Route("GET", "/api/daemon/status", status, "What the daemon is doing", {200: "Status"}),
        Route("GET", "/api/daemon/stats", stats, "Capacity, registration, admission", {200: "Stats"}),
        Route("GET", "/api/daemon/heartbeat", heartbeat, "Last beat and its answer", {200: "Heartbeat"}),
        Route("GET", "/api/daemon/config", config, "Effective settings and their sources", {200: "Settings"}),
        Route("GET", "/api/daemon/doctor", examination, "Self-examination", {200: "Doctor"}),
        Route("GET", "/metrics", prometheus, "Prometheus metrics", {200: "text/plain"}),
    )
