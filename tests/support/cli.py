"""The command line as its users have it: a real process, and real servers on the other end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

COMMAND = (sys.executable, "-m", "donmai_daemon")


class Finished(NamedTuple):
    """How one command line ended."""

    code: int
    out: str
    err: str


def environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment that knows nothing of the machine's own daemon."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **extra}


def donmai(home: Path, *argv: str, **extra: str) -> Finished:
    """Run one command line to its end."""
    done = subprocess.run(
        [*COMMAND, *argv],
        env=environment(home, **extra),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Seen(NamedTuple):
    """One request as the server read it; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def answer(status: int, payload: object, **headers: str) -> bytes:
    """The bytes of a JSON answer."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    lines = [
        f"HTTP/1.1 {status} Status",
        f"Content-Length: {len(body)}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class ScriptedServer:
    """Reads each request whole, answers with the bytes that `script` gives for it, and closes the connection."""

    def __init__(self, script: Callable[[Seen], bytes], path: Path | None = None) -> None:
        """On the unix socket `path`, else on a free loopback port."""
        self.seen: list[Seen] = []
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if path is None:
            self._listener.bind(("127.0.0.1", 0))
        else:
            self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with closing(connection):
                connection.settimeout(10)
                request = _read(connection)
                if request is None:
                    continue
                self.seen.append(request)
                connection.sendall(self._script(request))


def _read(connection: socket.socket) -> Seen | None:
    raw = bytearray()
    while b"\r\n\r\n" not in raw:
        piece = connection.recv(65536)
        if not piece:
            return None
        raw += piece
    head, _, body = bytes(raw).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Seen(method, path, headers, body)
