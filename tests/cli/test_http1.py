"""One HTTP exchange: whole answers in every framing, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from donmai_daemon.cli import http1
from donmai_daemon.cli.http1 import Answer, AnswerBroken, exchange


@contextmanager
def peer(*pieces: bytes, close: bool = True) -> Iterator[socket.socket]:
    """A connection whose other end sends `pieces` one by one, then closes, or keeps silent."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        try:
            for piece in pieces:
                theirs.sendall(piece)
            if close:
                theirs.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the reader had enough

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(10)
        theirs.close()


def ask(*pieces: bytes) -> Answer:
    with peer(*pieces) as connection:
        return exchange(connection, b"GET / HTTP/1.1\r\n\r\n", 10)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodymore",
        b"HTTP/1.1 200 OK\r\n\r\nbody",
        b"HTTP/1.0 200 OK\r\ncontent-length:4\r\n\r\nbody",
        b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nbod\r\n1\r\ny\r\n0\r\nT: z\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_every_framing_is_read(raw: bytes, size: int) -> None:
    """A length, the end of the connection and chunks all delimit a body, however it arrives."""
    answer = ask(*(raw[at : at + size] for at in range(0, len(raw), size)))
    assert (answer.status, answer.body) == (200, b"body")


def test_header_names_are_lower_case() -> None:
    """Headers are found whatever their spelling."""
    assert ask(b"HTTP/1.1 503 Busy\r\nRetry-After:  1 \r\n\r\n").headers == {"retry-after": "1"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nbody\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nbody\r\n0\r\n\r\n",
    ],
)
def test_a_broken_answer_is_refused(raw: bytes) -> None:
    """What is cut or is not HTTP raises `AnswerBroken`, and nothing of it is used."""
    with pytest.raises(AnswerBroken):
        ask(raw)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"])
def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """A body beyond the limit is refused while it is read, whatever was announced."""
    monkeypatch.setattr(http1, "MAX_BODY_BYTES", 1000)
    with pytest.raises(AnswerBroken, match="too large"):
        ask(head, *[b"x" * 100] * 20)


def test_an_endless_head_is_refused() -> None:
    """A head that does not end is refused at its limit."""
    with pytest.raises(AnswerBroken, match="too large"):
        ask(b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"y" * 1000 + b"\r\n"] * 100)


def test_the_deadline_is_for_all_of_it() -> None:
    """A peer that keeps silent is given up at the deadline."""
    with peer(b"HTTP/1.1 200 OK\r\n", close=False) as connection, pytest.raises(TimeoutError):
        exchange(connection, b"GET / HTTP/1.1\r\n\r\n", 0.05)
