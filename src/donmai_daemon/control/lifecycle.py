"""Routes that move the daemon from one state to another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from donmai_daemon.control.answer import Answer
from donmai_daemon.control.ports import LifecyclePort
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import Route


def lifecycle_routes(port: LifecyclePort) -> Sequence[Route]:
    """Each answers `{ok, message}`, 409 where the state forbids it."""

    def verb(name: str, act: Callable[[], Awaitable[str]], summary: str) -> Route:
        async def handle(request: Request) -> Answer:
            request.fields()  # none of these takes any
            return Answer({"ok": True, "message": await act()})

        return Route("POST", f"/api/daemon/{name}", handle, summary, {200: "Done"}, refusals=(409,))

    return (
        verb("reload", port.reload, "Read the configuration file again"),
        verb("pause", port.pause, "Begin no new work"),
        verb("resume", port.resume, "Take work again"),
        verb("stop", port.stop, "Stop in order; the process ends with exit code 0"),
        verb(
            "restart", port.restart, "Stop in order; the process ends with exit code 3, which means: start me again"
        ),
    )
