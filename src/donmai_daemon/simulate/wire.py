"""One HTTP/1.1 connection, as light as it gets: what a machine keeps between its beats."""

from __future__ import annotations

import asyncio
import select

import h11

from donmai_daemon.clock import Clock
from donmai_daemon.link.answer import Answer
from donmai_daemon.link.transport import MAX_ANSWER_BYTES, retry_after


class Wire(asyncio.Protocol):
    """One exchange at a time. Whatever raises leaves a wire that only `abort` is good for."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent: nothing is under way, and nothing has come in unasked, which would be the end."""
        return not self._lost and self._http.our_state is h11.IDLE and not self._readable()

    def send(self, request: h11.Request, body: bytes) -> None:
        """Hand a whole request to the system."""
        assert self._transport is not None
        events: list[h11.Event] = [request, h11.Data(data=body), h11.EndOfMessage()]
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))

    async def answer(self, clock: Clock) -> Answer:
        """The answer to what was sent. Raises `ConnectionError` where there comes none that is HTTP."""
        response: h11.Response | None = None
        body = bytearray()
        problem: str | None = None
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if response is None:
                    raise ConnectionError(str(error)) from error
                problem = "was cut short"
                break
            if event is h11.NEED_DATA:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_ANSWER_BYTES:
                    problem = f"is larger than {MAX_ANSWER_BYTES // 1024} KiB"
                    break
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("closed before the answer")
        assert response is not None
        if problem is None and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status_code, bytes(body), problem, retry_after(headers, clock))

    def abort(self) -> None:
        """Close, and send nothing more."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._http.receive_data(b"")
        self._wake()

    def _readable(self) -> bool:
        assert self._transport is not None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
