"""Serving the control API: uvicorn's HTTP protocol on our own sockets, inside our own task group.

uvicorn's `Server` is left out on purpose. It takes over signals, ends the process on a port clash, and ticks ten
times a second; what it does beside that is the two calls to `create_server` below. Here nothing runs while nothing
is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskStatus
from uvicorn.config import Config

from donmai_daemon.control.protocol import ControlProtocol, Limits, LiveConnections
from donmai_daemon.control.sockets import BACKLOG, Sockets

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope


async def serve(
    app: ASGI3Application,
    sockets: Sockets,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then stop in order.

    Cancellation is the way to stop: listening ends at once (both addresses are free, the socket file is gone), idle
    connections are closed, requests in flight get up to `limits.grace_seconds` to be answered. What is left then is
    cut, and cancelled handlers get the same time again to end. The sockets belong to this call: they are closed when
    it returns, however it ends.
    """
    live = LiveConnections()
    listeners: list[asyncio.Server] = []
    try:
        config = _configure(app, limits)
        loop = asyncio.get_running_loop()
        for listening in (sockets.tcp, sockets.unix):
            listener = await loop.create_server(
                lambda: ControlProtocol(config, live, limits), sock=listening, backlog=BACKLOG
            )
            listeners.append(listener)
        task_status.started()
        await anyio.Event().wait()  # not sleep_forever(), which is a timer of one day
    finally:
        for listener in listeners:
            listener.close()
        sockets.close()
        with anyio.CancelScope(shield=True):
            await _finish(live, limits.grace_seconds)


def _configure(app: ASGI3Application, limits: Limits) -> Config:
    """Options of uvicorn's protocol. Whatever it would read from the environment is given here."""

    async def until_cut(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        # This is the whole of the request's task, and `_finish` has closed its connection: nothing is left to tell.
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    config = Config(
        until_cut,
        http=ControlProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # its warnings are about what callers send, and any local user can send it
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips="",
        workers=1,
        timeout_keep_alive=limits.keep_alive_seconds,
    )
    config.load()
    return config


async def _finish(live: LiveConnections, grace_seconds: float) -> None:
    live.stopping = True
    for connection in list(live.connections):
        connection.shutdown()
    with anyio.move_on_after(grace_seconds):
        await live.all_closed()
    for connection in list(live.connections):
        connection.transport.abort()
    for task in list(live.tasks):
        task.cancel()
    with anyio.move_on_after(grace_seconds):
        await live.all_closed()
        if live.tasks:
            await asyncio.wait(live.tasks)
