"""Between a daemon and its platform: keeps every exchange, and may change what the platform answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.support.serving import serving

from donmai_daemon.model.json import Json, JsonObject

_KEPT = {"authorization", "content-type", "prefer", "user-agent"}


@dataclass
class Exchange:
    """One request. `at` is `time.monotonic()` of its arrival; `status` and `answer` come with the answer."""

    at: float
    method: str
    path: str
    body: JsonObject
    status: int = 0
    answer: JsonObject = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    """To go with the answer beside its type and length."""

    @property
    def is_beat(self) -> bool:
        return self.path.endswith("/heartbeat")


@dataclass
class Relay:
    """`edit` may change an exchange's `status`, `answer` and `headers` before the daemon gets them."""

    upstream: str
    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    edit: Callable[[Exchange], None] = lambda _exchange: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def beats(self, since: float = 0.0) -> list[Exchange]:
        """The beats that arrived after `since`, oldest first."""
        with self.changed:
            return [exchange for exchange in self.exchanges if exchange.is_beat and exchange.at >= since]

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until `condition` holds after some exchange."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, f"not within {seconds} s: {self.exchanges[-5:]}"
                self.changed.wait(left)


@contextmanager
def relay(upstream: str) -> Iterator[Relay]:
    """Serve on a free port of loopback until the block ends."""
    state = Relay(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            return

        def _pass_on(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            parsed: Json = json.loads(sent) if sent else {}
            exchange = Exchange(
                time.monotonic(), self.command, self.path, parsed if isinstance(parsed, dict) else {}
            )
            with state.changed:
                state.exchanges.append(exchange)
                state.changed.notify_all()
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._ask(sent, exchange)
            if not exchange.status:
                self.close_connection = True
                return
            state.edit(exchange)
            with state.changed:
                state.changed.notify_all()
            data = json.dumps(exchange.answer).encode()
            with contextlib.suppress(OSError):  # the daemon may have given this one up
                self.send_response(exchange.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                for name, value in exchange.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        def _ask(self, sent: bytes, exchange: Exchange) -> None:
            parts = urlsplit(state.upstream)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
            with contextlib.closing(connection):
                headers = {name: value for name, value in self.headers.items() if name.lower() in _KEPT}
                connection.request(self.command, self.path, sent or None, headers)
                response = connection.getresponse()
                parsed: Json = json.loads(response.read() or b"{}")
                exchange.answer = parsed if isinstance(parsed, dict) else {}
                exchange.status = response.status

        do_GET = do_POST = _pass_on  # noqa: N815 - names that http.server gives

    with serving(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state
