"""The client against a platform that says whatever the test wants, byte by byte."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import anyio
import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock
from tests.support.link import Reply, ScriptedPlatform, answer, client_of, http, scripted_platform

from donmai_daemon.clock import SystemClock
from donmai_daemon.errors import ParamsInvalid, PlatformAnswerInvalid, PlatformRefused, PlatformUnreachable
from donmai_daemon.link.client import LockAnswer, PlatformClient
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.secret import Secret
from donmai_daemon.model.wire import BeatAnswer

pytestmark = pytest.mark.anyio

TOKEN = Secret("rt_secret")
NOON = "2026-11-24T12:00:00.000Z"
ACK: JsonObject = {"acknowledged": True, "serverTime": NOON}
Call: TypeAlias = Callable[[PlatformClient], Awaitable[object]]


@pytest.fixture
async def platform() -> AsyncIterator[ScriptedPlatform]:
    async with scripted_platform() as platform:
        yield platform


@pytest.fixture
async def client(platform: ScriptedPlatform) -> AsyncIterator[PlatformClient]:
    async with client_of(platform, FakeClock()) as client:
        yield client


async def beat(client: PlatformClient) -> BeatAnswer:
    return await client.heartbeat("wkr_1", TOKEN, {"seq": 1})


# What goes out


async def test_a_beat_on_the_wire(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """A beat is one POST with these headers and no others, and with the body byte for byte."""
    platform.will(answer(ACK))
    await client.heartbeat("wkr_1", TOKEN, {"seq": 7, "name": "Zoë", "max": 0})
    (heard,) = platform.heard
    assert heard.line == "POST /api/workers/wkr_1/heartbeat HTTP/1.1"
    assert heard.headers == {
        "host": f"127.0.0.1:{platform.port}",
        "user-agent": "donmai-daemon/1.2.3",
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Bearer rt_secret",
        "content-length": str(len(heard.body)),
    }
    assert heard.body == b'{"seq":7,"name":"Zo\\u00eb","max":0}'


@pytest.mark.parametrize(("wait", "prefer"), [(None, None), (0.5, None), (30.0, "wait=30"), (29.9, "wait=29")])
async def test_a_held_beat_says_how_long(
    platform: ScriptedPlatform, client: PlatformClient, wait: float | None, prefer: str | None
) -> None:
    """`Prefer: wait` is sent in whole seconds, and not at all for less than one."""
    platform.will(answer(ACK))
    await client.heartbeat("wkr_1", TOKEN, {}, wait=wait)
    assert platform.heard[0].headers.get("prefer") == prefer


async def test_a_held_beat_outlives_the_plain_deadline(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """The deadline of a held beat begins after the wait: an answer later than the plain deadline is accepted."""
    release = anyio.Event()
    platform.will(answer(ACK, release=release))
    answers: list[object] = []
    async with anyio.create_task_group() as group:

        async def hold() -> None:
            answers.append(await client.heartbeat("wkr_1", TOKEN, {}, wait=60, timeout=0.05))

        group.start_soon(hold)
        await platform.requests(1)
        await anyio.sleep(0.2)  # nothing tells of a deadline that passes without effect
        assert answers == []
        release.set()
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda c: c.heartbeat("a/b c?d#e%2F", TOKEN, {}),
            "POST /api/workers/a%2Fb%20c%3Fd%23e%252F/heartbeat HTTP/1.1",
        ),
        (lambda c: c.poll("wkr_é", TOKEN), "GET /api/workers/wkr_%C3%A9/poll HTTP/1.1"),
        (lambda c: c.poll("..%2e", TOKEN), "GET /api/workers/..%252e/poll HTTP/1.1"),
        (lambda c: c.session_detail("x\r\ny", TOKEN), "GET /api/daemon/sessions/x%0D%0Ay HTTP/1.1"),
        (lambda c: c.session_detail("x\ud800", TOKEN), "GET /api/daemon/sessions/x%3F HTTP/1.1"),
        (lambda c: c.refresh("../../admin", TOKEN), "POST /api/workers/..%2F..%2Fadmin/refresh-token HTTP/1.1"),
    ],
)
async def test_path_segments_are_escaped(
    platform: ScriptedPlatform, client: PlatformClient, call: Call, line: str
) -> None:
    """An id never reaches beyond its own segment of the path."""
    platform.will(answer({**ACK, "runtimeToken": "t"}))
    await call(client)
    assert platform.lines == [line]


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.heartbeat("", TOKEN, {}),
        lambda c: c.poll("..", TOKEN),
        lambda c: c.refresh(".", TOKEN),
        lambda c: c.nack("s", TOKEN, {"workerId": "w", "reason": ""}),
        lambda c: c.nack("s", TOKEN, {"workerId": None, "reason": "full"}),
        lambda c: c.session_status("s", TOKEN, {"workerId": "w"}),
        lambda c: c.session_status("s", TOKEN, {"status": "running"}),
        lambda c: c.session_status("", TOKEN, {"workerId": "w", "status": "running"}),
        lambda c: c.lock_refresh("s", TOKEN, "", "ISS-1"),
        lambda c: c.activity("s", TOKEN, "", "thought", "hm"),
        lambda c: c.completion("s", TOKEN, "", "done"),
    ],
)
async def test_what_could_only_be_refused_is_not_sent(
    platform: ScriptedPlatform, client: PlatformClient, call: Call
) -> None:
    """An empty id or field is an error here, and no request there."""
    with pytest.raises(ParamsInvalid):
        await call(client)
    assert platform.connections == 0


# What comes back


async def test_a_good_answer_is_read(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """An accepted answer carries its mutations, and one bad element of the list does not sink the others."""
    good: JsonObject = {
        "id": "m1",
        "op": "project.add",
        "params": {"id": "a"},
        "requestedAt": 5,
        "requestedBy": "x",
    }
    platform.will(answer({**ACK, "pendingMutations": [{"op": "no id"}, 7, good, {"id": "m2", "op": 9}], "new": 1}))
    read = await client.heartbeat("wkr_1", TOKEN, {})
    assert [(m.id, m.op) for m in read.mutations] == [("m1", "project.add"), ("m2", "")]
    assert read.mutations[0].requested_at is None
    assert len(read.ignored) == 3


async def test_what_is_passed_over_is_logged_once(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """A field that this version does not know is named in the log the first time and not with every beat."""
    platform.will(*[answer({**ACK, "brandNew": 1})] * 3, answer({**ACK, "brandNew": 1, "newer": 2}))
    with capture_logs() as logs:
        for _ in range(4):
            await beat(client)
    assert [entry["what"] for entry in logs] == [["unknown field 'brandNew'"], ["unknown field 'newer'"]]


HTML = b"<!doctype html><title>Sign in</title>"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(http(200, HTML, {"content-type": "text/html"})), id="html"),
        pytest.param(Reply(http(200, b"")), id="empty"),
        pytest.param(Reply(http(204, b"", {"content-length": "0"})), id="no content"),
        pytest.param(answer([ACK]), id="list"),
        pytest.param(answer(None), id="null"),
        pytest.param(answer({"acknowledged": False}), id="not acknowledged"),
        pytest.param(answer({"acknowledged": 1}), id="one is not true"),
        pytest.param(answer({}), id="no word of it"),
        pytest.param(Reply(http(200, b'{"acknowledged": true'), end="close"), id="json cut"),
        pytest.param(
            Reply(http(200, b'{"acknowledged": true}', {"content-length": "99"}), end="close"), id="body cut"
        ),
        pytest.param(
            Reply(http(200, b'{"acknowledged": true}', {"content-length": "99"}), end="reset"), id="body reset"
        ),
        pytest.param(
            Reply(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n16\r\n" + json.dumps(ACK).encode(),
                end="close",
            ),
            id="chunk cut",
        ),
        pytest.param(Reply(http(200, b'{"acknowledged": true}', {"content-encoding": "gzip"})), id="compressed"),
        pytest.param(answer({**ACK, "x": "y" * 2 * 1024 * 1024}), id="2 MiB"),
        pytest.param(Reply(http(200, b"[" * 500_000)), id="nested"),
        pytest.param(
            Reply(http(200, b'{"acknowledged": true, "x": ' + b"9" * 10_000 + b"}")), id="number of 10,000 digits"
        ),
        pytest.param(Reply(http(200, b'{"acknowledged": true, "x": NaN}')), id="nan"),
        pytest.param(Reply(http(200, b'{"acknowledged": true, "x": "\xff"}')), id="not utf-8"),
    ],
)
async def test_a_2xx_that_is_no_accepted_beat(
    platform: ScriptedPlatform, client: PlatformClient, reply: Reply
) -> None:
    """Whatever the status says, only a whole JSON object with `acknowledged: true` is an accepted beat."""
    platform.will(reply, answer(ACK))
    with pytest.raises(PlatformAnswerInvalid):
        await beat(client)
    await beat(client)  # and the next beat finds the client in order


async def test_text_that_is_no_text_does_not_sink_the_answer(
    platform: ScriptedPlatform, client: PlatformClient
) -> None:
    """A lone surrogate becomes a replacement character wherever it stands, so what was read can be stored and sent on."""
    body = rb'{"acknowledged":true,"pendingMutations":[{"id":"m\ud800","op":"x","params":{"\udfff":["a\ud83d\ude00\ud800"]}}]}'
    platform.will(Reply(http(200, body)))
    (mutation,) = (await client.heartbeat("wkr_1", TOKEN, {})).mutations
    assert mutation.id == "m�"
    assert mutation.params == {"�": ["a😀�"]}


async def test_a_chunked_answer_is_whole(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """An answer without Content-Length, sent in chunks, after a 103, and with a BOM, is as good as any."""
    body = b"\xef\xbb\xbf" + json.dumps(ACK).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 3]), body[i : i + 3]) for i in range(0, len(body), 3))
    head = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    platform.will(Reply(head + chunks + b"0\r\n\r\n"))
    assert (await beat(client)).server_time == NOON


async def test_a_slow_body_does_not_hold_the_beat(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """A body that drips for ever, each byte in time, ends at the deadline of the whole request."""
    platform.will(Reply(http(200, b'{"acknowledged": true', {"content-length": "9999999"}), drip=b" "))
    with pytest.raises(PlatformAnswerInvalid, match="not complete"):
        await client.heartbeat("wkr_1", TOKEN, {}, timeout=0.2)


async def test_dripping_headers_do_not_hold_the_beat(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """A header that never ends, each byte in time, ends at the deadline."""
    platform.will(Reply(b"HTTP/1.1 200 OK\r\nx: ", drip=b"y"))
    with pytest.raises(PlatformUnreachable):
        await client.heartbeat("wkr_1", TOKEN, {}, timeout=0.2)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(b"", end="stall"), id="silence"),
        pytest.param(Reply(b"", end="close"), id="hangs up"),
        pytest.param(Reply(b"", end="reset"), id="reset"),
        pytest.param(Reply(b"SSH-2.0-OpenSSH_9.2\r\n", end="close"), id="not http"),
        pytest.param(Reply(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, end="close"), id="endless header"),
    ],
)
async def test_no_answer(platform: ScriptedPlatform, client: PlatformClient, reply: Reply) -> None:
    """Without a status line there is no answer, and the client says so within the deadline."""
    platform.will(reply, answer(ACK))
    with pytest.raises(PlatformUnreachable):
        await client.heartbeat("wkr_1", TOKEN, {}, timeout=0.3)
    await beat(client)


async def test_nobody_listens() -> None:
    """A refused connection is named as the operating system names it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}", FakeClock()) as client:
            with pytest.raises(PlatformUnreachable, match="Connection refused"):
                await beat(client)


async def test_a_listener_that_never_accepts() -> None:
    """A connection that the kernel took and no program ever reads ends at the deadline."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        async with client_of(f"http://127.0.0.1:{deaf.getsockname()[1]}", FakeClock()) as client:
            with pytest.raises(PlatformUnreachable, match=r"within 0\.1 s"):
                await client.heartbeat("wkr_1", TOKEN, {}, timeout=0.1)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(
    platform: ScriptedPlatform, client: PlatformClient, status: int
) -> None:
    """A redirect is a refusal, and the server it points to is never contacted: it would get the token."""
    async with scripted_platform() as elsewhere:
        platform.will(
            Reply(http(status, HTML, {"location": f"{elsewhere.url}/login", "content-type": "text/html"}))
        )
        with pytest.raises(PlatformRefused) as refused:
            await beat(client)
        assert (refused.value.status, refused.value.detail) == (status, "")
        assert elsewhere.connections == 0
    assert len(platform.heard) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 429, 500, 502, 503])
async def test_a_refusal_carries_status_and_detail(
    platform: ScriptedPlatform, client: PlatformClient, status: int
) -> None:
    """A status other than 2xx is raised with the platform's own words."""
    platform.will(answer({"error": "not today"}, status))
    with pytest.raises(PlatformRefused) as refused:
        await beat(client)
    assert (refused.value.status, refused.value.detail, refused.value.retry_after) == (status, "not today", None)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_arrives(platform: ScriptedPlatform, client: PlatformClient, status: int) -> None:
    """Retry-After is read as seconds, and as a date against the platform's own clock, or ours where it tells none."""
    ours = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
    platform.will(
        answer({}, status, {"retry-after": "17"}),
        answer({}, status, {"retry-after": http_date(ours + timedelta(seconds=40))}),
        answer(
            {},
            status,
            {
                "retry-after": http_date(ours + timedelta(days=9)),
                "date": http_date(ours + timedelta(days=9, seconds=-9)),
            },
        ),
        answer({}, status, {"retry-after": "later"}),
    )
    found = []
    for _ in range(4):
        with pytest.raises(PlatformRefused) as refused:
            await beat(client)
        found.append(refused.value.retry_after)
    assert found == [17.0, 40.0, 9.0, None]


def http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            Reply(http(503, b'{"error": "x', {"content-length": "99", "retry-after": "9"}), end="close"), id="cut"
        ),
        pytest.param(
            Reply(http(503, b"", {"content-length": "9999999", "retry-after": "9"}), drip=b" "), id="slow"
        ),
        pytest.param(Reply(http(503, b"x" * 3_000_000, {"retry-after": "9"})), id="3 MiB"),
        pytest.param(Reply(http(503, HTML, {"content-type": "text/html", "retry-after": "9"})), id="html"),
        pytest.param(answer({"error": {"nested": 1}}, 503, {"retry-after": "9"}), id="error is no text"),
    ],
)
async def test_a_refusal_stands_whatever_its_body(
    platform: ScriptedPlatform, client: PlatformClient, reply: Reply
) -> None:
    """The status and Retry-After of a refusal count even where its body cannot be read."""
    platform.will(reply)
    with pytest.raises(PlatformRefused) as refused:
        await client.heartbeat("wkr_1", TOKEN, {}, timeout=0.5)
    assert (refused.value.status, refused.value.detail, refused.value.retry_after) == (503, "", 9.0)


async def test_detail_is_short_printable_and_without_the_token(
    platform: ScriptedPlatform, client: PlatformClient
) -> None:
    """The platform's words are cut to 512 characters, lose control characters, and lose our token where it repeats it."""
    platform.will(answer({"error": "bad token rt_secret\x1b[31m\n" + "x" * 2000}, 401))
    with pytest.raises(PlatformRefused) as refused:
        await beat(client)
    assert refused.value.detail.startswith("bad token *** [31m xxx")
    assert len(refused.value.detail) == 512
    assert "rt_secret" not in f"{refused.value!r} {refused.value} {vars(refused.value)}"


async def test_cookies_are_not_kept(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """A cookie that an answer sets is not sent back."""
    platform.will(answer(ACK, headers={"set-cookie": "session=1; Path=/"}), answer(ACK))
    await beat(client)
    await beat(client)
    assert "cookie" not in platform.heard[1].headers


async def test_a_cancelled_beat_leaves_the_client_in_order(
    platform: ScriptedPlatform, client: PlatformClient
) -> None:
    """A held beat that is cancelled hangs up, and the next one goes out on a connection of its own."""
    platform.will(Reply(b"", end="stall"), answer(ACK))
    async with anyio.create_task_group() as group:

        async def hold() -> None:
            await client.heartbeat("wkr_1", TOKEN, {}, wait=60)

        group.start_soon(hold)
        await platform.requests(1)
        group.cancel_scope.cancel()
    await beat(client)
    assert platform.connections == 2


async def test_many_cancelled_beats_do_not_use_up_the_pool(
    platform: ScriptedPlatform, client: PlatformClient
) -> None:
    """A hundred cancelled beats, more than the pool has connections, leave room for the next."""
    platform.will(*[Reply(b"", end="stall")] * 100, answer(ACK))
    for count in range(100):
        async with anyio.create_task_group() as group:
            group.start_soon(beat, client)
            await platform.requests(count + 1)
            group.cancel_scope.cancel()
    await client.heartbeat("wkr_1", TOKEN, {}, timeout=5)
    assert len(platform.heard) == 101


# Sessions


async def test_the_calls_of_sessions_on_the_wire(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """Each call has its route and its body."""
    work: JsonObject = {"sessionId": "s1", "nested": [1, {"a": None}]}
    platform.will(*[answer({"refreshed": True, "stop": True})] * 6)
    await client.nack("s1", TOKEN, {"workerId": "w", "reason": "full", "work": work})
    await client.session_status("s1", TOKEN, {"workerId": "w", "status": "running", "claimId": "c"})
    lock = await client.lock_refresh("s1", TOKEN, "w", "ISS-1")
    await client.activity("s1", TOKEN, "w", "action", "ls")
    await client.completion("s1", TOKEN, "w", "done")
    polled = await client.poll("w", TOKEN)
    assert [(h.line.split()[0], h.line.split()[1], h.json() if h.body else None) for h in platform.heard] == [
        ("POST", "/api/sessions/s1/nack", {"workerId": "w", "reason": "full", "work": work}),
        ("POST", "/api/sessions/s1/status", {"workerId": "w", "status": "running", "claimId": "c"}),
        ("POST", "/api/sessions/s1/lock-refresh", {"workerId": "w", "issueId": "ISS-1"}),
        ("POST", "/api/sessions/s1/activity", {"workerId": "w", "activity": {"type": "action", "content": "ls"}}),
        ("POST", "/api/sessions/s1/completion", {"workerId": "w", "summary": "done"}),
        ("GET", "/api/workers/w/poll", None),
    ]
    assert lock == LockAnswer(refreshed=True, stop=True)
    assert polled == {"refreshed": True, "stop": True}
    assert "content-type" not in platform.heard[-1].headers


@pytest.mark.parametrize("issue", [None, ""])
async def test_no_issue_is_not_an_empty_issue(
    platform: ScriptedPlatform, client: PlatformClient, issue: str | None
) -> None:
    """A lock refresh of a session without an issue leaves the field out instead of sending what is always refused."""
    platform.will(answer({"refreshed": True}))
    assert await client.lock_refresh("s1", TOKEN, "w", issue) == LockAnswer(refreshed=True, stop=False)
    assert platform.heard[0].json() == {"workerId": "w"}


async def test_texts_are_cut_below_the_body_limit(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """However long the text and however badly it escapes, the body stays below 256 KiB."""
    platform.will(*[Reply(http(200, b""))] * 3)
    await client.activity("s1", TOKEN, "w", "response", "😀" * 1_000_000)
    await client.completion("s1", TOKEN, "w", "\x00" * 1_000_000)
    await client.nack("s1", TOKEN, {"workerId": "w", "reason": "full", "work": {"prompt": "é" * 500_000}})
    assert all(0 < len(heard.body) < 256 * 1024 for heard in platform.heard)
    assert platform.heard[2].json() == {"workerId": "w", "reason": "full"}


async def test_an_empty_activity_is_not_sent(platform: ScriptedPlatform, client: PlatformClient) -> None:
    """Nothing to tell is told to nobody."""
    await client.activity("s1", TOKEN, "w", "thought", "")
    assert platform.connections == 0


MINE: JsonObject = {"workerId": "w", "status": "running", "claimId": "c"}


@pytest.mark.parametrize(
    ("stands", "mine"),
    [
        ({"error": "x", "code": "illegal_move", "status": "running", "workerId": "w", "claimId": "c"}, True),
        ({"error": "x", "code": "illegal_move", "status": "running", "workerId": "w2", "claimId": "c"}, False),
        ({"error": "x", "code": "illegal_move", "status": "running", "workerId": "w", "claimId": "c2"}, False),
        ({"error": "x", "code": "illegal_move", "status": "completed", "workerId": "w", "claimId": "c"}, False),
        ({"error": "x"}, False),
        ([], False),
    ],
)
async def test_a_409_is_success_only_where_all_is_mine(
    platform: ScriptedPlatform, client: PlatformClient, stands: Json, mine: bool
) -> None:
    """A repeated report meets its own trace; the trace of anybody else, or of another status, is a refusal."""
    platform.will(answer(stands, 409))
    if mine:
        await client.session_status("s1", TOKEN, MINE)
    else:
        with pytest.raises(PlatformRefused) as refused:
            await client.session_status("s1", TOKEN, MINE)
        assert refused.value.status == 409


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.session_status("s1", TOKEN, MINE),
        lambda c: c.nack("s1", TOKEN, {"workerId": "w", "reason": "full"}),
        lambda c: c.completion("s1", TOKEN, "w", "done"),
        lambda c: c.lock_refresh("s1", TOKEN, "w", None),
        lambda c: c.poll("w", TOKEN),
        lambda c: c.session_detail("s1", TOKEN),
        lambda c: c.refresh("w", TOKEN),
    ],
)
async def test_a_login_page_is_no_success_anywhere(
    platform: ScriptedPlatform, client: PlatformClient, call: Call
) -> None:
    """HTML with 200 is an error on every route."""
    platform.will(Reply(http(200, HTML, {"content-type": "text/html"})))
    with pytest.raises(PlatformAnswerInvalid):
        await call(client)


async def test_a_real_clock_will_do(platform: ScriptedPlatform) -> None:
    """The client works with the machine's own clock."""
    platform.will(answer(ACK))
    async with client_of(platform, SystemClock()) as client:
        assert (await beat(client)).server_time == NOON
