"""Request bodies: how long, how slow, and what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.control import DIGITS, Surface, answer_of, parse, surface

from donmai_daemon.control.app import MAX_BODY_BYTES, MAX_DISCARDED_BYTES

pytestmark = pytest.mark.anyio

PATH = "/api/daemon/mutations"
GOOD = b'{"op":"project.add","params":{"id":"a"}}'


def head(served: Surface, *lines: str, token: str = DIGITS) -> bytes:
    fields = (f"POST {PATH} HTTP/1.1", f"Host: localhost:{served.port}", f"Authorization: Bearer {token}", *lines)
    return "".join(f"{line}\r\n" for line in (*fields, "Content-Type: application/json", "")).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_a_body_may_be_exactly_as_long_as_the_limit(tmp_path: Path) -> None:
    """64 KiB are taken, one byte more is 413; nothing of the long one is acted on."""
    async with surface(tmp_path) as served:
        full = GOOD[:-1] + b" " * (MAX_BODY_BYTES - len(GOOD)) + b"}"
        assert len(full) == 64 * 1024
        assert (await served.ask("POST", PATH, full, token=DIGITS)).status == 202
        refused = await served.ask("POST", PATH, full + b" ", token=DIGITS)
        assert (refused.status, refused.object["code"]) == (413, "body_too_large")
        assert len(served.daemon.submitted) == 1


async def test_a_chunked_body_has_the_same_limit(tmp_path: Path) -> None:
    """The limit counts bytes that came, not what a header announced."""
    async with surface(tmp_path) as served:
        opening = head(served, "Transfer-Encoding: chunked", "Connection: close")
        good = await served.raw(opening + b"".join(chunk(GOOD[i : i + 7]) for i in range(0, 40, 7)) + b"0\r\n\r\n")
        assert parse(good).status == 202
        long = await served.raw(opening + chunk(b" " * 10_000) * 7 + b"0\r\n\r\n")
        assert parse(long).status == 413
        assert len(served.daemon.submitted) == 1


async def test_a_long_body_is_answered_even_while_it_is_sent(tmp_path: Path) -> None:
    """Somewhat too long is read to its end, so that the caller gets the answer and not a broken connection."""
    async with surface(tmp_path) as served:
        for token in (DIGITS, "f" * 64):
            opening = head(served, f"Content-Length: {MAX_DISCARDED_BYTES}", "Connection: close", token=token)
            reply = parse(await served.raw(opening + b" " * MAX_DISCARDED_BYTES))
            assert reply.status == (413 if token == DIGITS else 401)


async def test_an_endless_body_is_cut_off(tmp_path: Path) -> None:
    """Nobody keeps the daemon reading: beyond 1 MiB the answer goes out and the connection is closed."""
    async with surface(tmp_path, body_seconds=3600) as served, await served.connect() as stream:
        await stream.send(head(served, "Transfer-Encoding: chunked"))
        for _ in range(17):
            await stream.send(chunk(b" " * 65536))
        reply = await answer_of(stream)
        assert (reply.status, reply.headers["connection"]) == (413, "close")


async def test_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    """A caller that announces a body and stays silent gets 408 and a closed connection."""
    async with surface(tmp_path, body_seconds=0.02) as served:
        for opening in (head(served, "Content-Length: 10"), head(served, "Transfer-Encoding: chunked")):
            reply = parse(await served.raw(opening + b"5\r\n{"))
            assert (reply.status, reply.object["code"]) == (408, "body_too_slow")
        assert served.daemon.submitted == []


async def test_a_caller_that_waits_to_be_told_is_told(tmp_path: Path) -> None:
    """`Expect: 100-continue` is granted where the body is wanted, and answered at once where it is not."""
    async with surface(tmp_path) as served:
        expecting = ("Expect: 100-continue", "Connection: close")
        good = head(served, f"Content-Length: {len(GOOD)}", *expecting)
        interim, _, final = (await served.raw(good + GOOD)).partition(b"\r\n\r\n")
        assert interim.startswith(b"HTTP/1.1 100 ")
        assert parse(final).status == 202
        unwelcome = head(served, f"Content-Length: {MAX_BODY_BYTES + 1}", *expecting)
        assert parse(await served.raw(unwelcome)).status == 413
        stranger = head(served, "Content-Length: 5", *expecting, token="f" * 64)
        assert parse(await served.raw(stranger)).status == 401


async def test_a_caller_that_leaves_midway_changes_nothing(tmp_path: Path) -> None:
    """Half a body and a closed connection is no request."""
    async with surface(tmp_path) as served:
        async with await served.connect() as stream:
            await stream.send(head(served, f"Content-Length: {len(GOOD)}") + GOOD[:10])
            await stream.send_eof()
            with pytest.raises(Exception):  # noqa: B017, PT012 - how the end of the stream shows is not the point
                while True:
                    await stream.receive()
        assert (await served.ask("GET", "/healthz")).status == 200
        assert served.daemon.submitted == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "body: not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"\xff{}", "body: not UTF-8"),
        (b"[]", "body: must be a JSON object"),
        (b'"text"', "body: must be a JSON object"),
        (b"null", "body: must be a JSON object"),
        (b'{"op":1,"params":{}}', "op: must be a string"),
        (b'{"params":{}}', "op: must be a string"),
        (b'{"op":"project.add"}', "params: must be an object"),
        (b'{"op":"project.add","params":[]}', "params: must be an object"),
        (b'{"op":"project.add","params":{},"dryRun":"yes"}', "dryRun: must be true or false"),
        (b'{"op":"project.add","params":{},"dryrun":true}', 'body: unknown field "dryrun"'),
        (
            b'{"op":"project.add","params":{"id":NaN}}',
            "body: has a number that JSON does not have, or one too long",
        ),
        (
            b'{"op":"project.add","params":{"id":1e999}}',
            "body: has a number that JSON does not have, or one too long",
        ),
        (
            b'{"op":"project.add","params":{"id":%s}}' % (b"9" * 5000),
            "body: has a number that JSON does not have, or one too long",
        ),
        (b'{"op":"project.add","params":{"id":"\\ud800"}}', "body: has an unpaired surrogate"),
        (
            b'{"op":"project.add","params":{"id":' + b"[" * 30_000 + b"]" * 30_000 + b"}}",
            "body: nested more than 64 levels deep",
        ),
        (b"", "op: must be a string"),
    ],
)
async def test_a_bad_body_is_told_what_is_bad(tmp_path: Path, body: bytes, problem: str) -> None:
    """400 names the problem, and nothing reaches the daemon."""
    async with surface(tmp_path) as served:
        reply = await served.ask("POST", PATH, body, token=DIGITS)
        assert (reply.status, reply.json) == (400, {"error": problem, "code": "bad_request"})
        assert served.daemon.submitted == []


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ('Application/JSON;charset="UTF-8"', True),
        ("application/json; charset=latin-1", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("application/jsonx", False),
        ("", False),
    ],
)
async def test_a_body_is_json_and_says_so(tmp_path: Path, content_type: str, taken: bool) -> None:
    """A body of another type, as a foreign page's form could send it, is not looked into."""
    async with surface(tmp_path) as served:
        reply = await served.ask("POST", PATH, GOOD, token=DIGITS, headers={"Content-Type": content_type})
        assert reply.status == (202 if taken else 400)
        if not taken:
            assert reply.object["error"] == "Content-Type: must be application/json"


async def test_a_verb_takes_an_empty_body_an_empty_object_or_none(tmp_path: Path) -> None:
    """`pause` has no fields; a field is refused rather than ignored."""
    async with surface(tmp_path) as served:
        for body in (None, b"", b"{}"):
            assert (await served.ask("POST", "/api/daemon/pause", body, token=DIGITS)).status == 200
        refused = await served.ask("POST", "/api/daemon/pause", b'{"timeoutSeconds":5}', token=DIGITS)
        assert refused.json == {"error": 'body: unknown field "timeoutSeconds"', "code": "bad_request"}
        assert served.daemon.acts == ["pause"] * 3
