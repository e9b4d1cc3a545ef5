"""One HTTP/1.1 exchange over a connected socket, blocking, bounded in size and time.

`http.client` would do, at 20 ms of imports; `donmai host status` has 100 ms for everything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024


class Answer(NamedTuple):
    """Status, headers with lower-case names (of a repeated one the last), and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AnswerBroken(Exception):  # noqa: N818 - conditions are named as conditions
    """What came back is not a whole HTTP/1.1 answer, or is too large."""


def exchange(connection: socket.socket, request: bytes, seconds: float) -> Answer:
    """Send `request`, which must say `Connection: close`, and read the answer.

    Raises `AnswerBroken`, `TimeoutError` after `seconds` in all, and `OSError` as the socket does.
    """
    deadline = time.monotonic() + seconds
    connection.settimeout(seconds)
    connection.sendall(request)
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise AnswerBroken("the head of the answer is too large")
        if not _receive(connection, received, deadline):
            raise AnswerBroken("the answer ended before its head was complete")
    status, headers = _head(bytes(received[:end]))
    body = received[end + 4 :]
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while _receive(connection, body, deadline):
            pass
        return Answer(status, headers, _unchunked(bytes(body)))
    length = headers.get("content-length")
    if length is None:
        while _receive(connection, body, deadline):
            pass
        return Answer(status, headers, bytes(body))
    if not length.isascii() or not length.isdigit():
        raise AnswerBroken("the answer's Content-Length is not a number")
    while len(body) < int(length):
        if not _receive(connection, body, deadline):
            raise AnswerBroken(f"the answer was cut after {len(body)} of {length} bytes")
    return Answer(status, headers, bytes(body[: int(length)]))


def _receive(connection: socket.socket, into: bytearray, deadline: float) -> bool:
    """Append what arrives next; False at the end of the stream."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
    piece = connection.recv(64 * 1024)
    into += piece
    if len(into) > MAX_BODY_BYTES:
        raise AnswerBroken("the answer is too large")
    return bool(piece)


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or len(status) != 3 or not status.isascii() or not status.isdigit():
        raise AnswerBroken("the answer is not HTTP")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(status), headers


def _unchunked(raw: bytes) -> bytes:
    body = bytearray()
    at = 0
    while True:
        end = raw.find(b"\r\n", at)
        try:
            size = int(raw[at:end].split(b";", 1)[0], 16) if end >= 0 else -1
        except ValueError as error:
            raise AnswerBroken("the answer's chunks cannot be read") from error
        if size == 0:
            return bytes(body)
        at = end + 2
        if size < 0 or len(raw) < at + size + 2:
            raise AnswerBroken("the answer was cut between its chunks")
        body += raw[at : at + size]
        at += size + 2
