"""Between daemon and platform: a proxy that loses, cuts or repeats the answer that delivers."""

from __future__ import annotations

import http.client
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

Delivery: TypeAlias = Literal["once", "twice", "lost", "truncated"]

DELIVERIES: tuple[Delivery, ...] = ("once", "twice", "lost", "truncated")


class Wire:
    """Passes everything on, but for the first answer that carries mutations.

    `lost`: the platform has answered, the daemon sees the connection close. `truncated`: half of the body arrives.
    `twice`: the same mutations are in the next answer again.
    """

    def __init__(self, platform_url: str, delivery: Delivery) -> None:
        wire = self
        self._target = urlsplit(platform_url)
        self._delivery = delivery
        self._lock = Lock()
        self._done = delivery == "once"
        self._repeat: object = None

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                wire.pass_on(self)

            do_GET = do_POST  # noqa: N815 - the name the base class looks for

            def log_message(self, *_: object) -> None:
                """Nothing: the daemon's log tells."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        upstream = http.client.HTTPConnection(self._target.hostname or "", self._target.port or 80, timeout=60)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in {"host", "connection"}}
            upstream.request(handler.command, handler.path, body, headers)
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        if handler.path.endswith("/heartbeat") and answer.status == 200:
            changed = self._tamper(data)
            if changed is None:
                handler.close_connection = True
                return
            data, claimed = changed
        else:
            claimed = len(data)
        try:
            handler.send_response(answer.status)
            handler.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            handler.send_header("Content-Length", str(claimed))
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:
            handler.close_connection = True  # the daemon was killed, or has cancelled a held beat
            return
        handler.close_connection = claimed != len(data)

    def _tamper(self, data: bytes) -> tuple[bytes, int] | None:
        """Bytes to send and the length to claim, or None: nothing at all."""
        answer = json.loads(data)
        with self._lock:
            if self._repeat is not None:
                answer["pendingMutations"] = [*(answer.get("pendingMutations") or []), *list(self._repeat)]  # type: ignore[call-overload] # it is a list
                self._repeat = None
                data = json.dumps(answer).encode()
            elif not self._done and answer.get("pendingMutations"):
                self._done = True
                if self._delivery == "lost":
                    return None
                if self._delivery == "truncated":
                    return data[: len(data) // 2], len(data)
                self._repeat = answer["pendingMutations"]
        return data, len(data)
