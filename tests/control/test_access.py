"""Who gets in, over real sockets: Host, Origin, token, route, in that order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.control import DIGITS, Surface, surface

from donmai_daemon.control import protocol
from donmai_daemon.control.peer import Peer

pytestmark = pytest.mark.anyio

WRONG = "f" * 64
UNAUTHORIZED = {"error": "missing or invalid control token", "code": "unauthorized"}


async def test_reading_is_open_and_changing_is_not(tmp_path: Path) -> None:
    """A local user reads without the token and changes nothing without it."""
    async with surface(tmp_path) as served:
        assert (await served.ask("GET", "/api/daemon/status")).status == 200
        refused = await served.ask("POST", "/api/daemon/pause")
        assert (refused.status, refused.json) == (401, UNAUTHORIZED)
        assert refused.headers["www-authenticate"] == "Bearer"
        assert served.daemon.acts == []
        assert (await served.ask("POST", "/api/daemon/pause", token=DIGITS)).status == 200
        assert served.daemon.acts == ["pause"]


@pytest.mark.parametrize("token", [WRONG, DIGITS[:-1], DIGITS + "0", DIGITS.upper(), " " + DIGITS, DIGITS + "\xff"])
async def test_a_token_is_right_or_it_is_nothing(tmp_path: Path, token: str) -> None:
    """A token that differs in anything is answered as none at all."""
    async with surface(tmp_path) as served:
        refused = await served.ask("POST", "/api/daemon/pause", token=token)
        assert (refused.status, refused.json) == (401, UNAUTHORIZED)
        assert served.daemon.acts == []


async def test_the_right_token_twice_is_refused(tmp_path: Path) -> None:
    """Two Authorization headers are no token, even when both are right."""
    async with surface(tmp_path) as served:
        line = f"Authorization: Bearer {DIGITS}\r\n"
        head = f"POST /api/daemon/pause HTTP/1.1\r\nHost: localhost:{served.port}\r\nConnection: close\r\n"
        assert b" 401 " in await served.raw((head + line + line + "\r\n").encode())
        assert b" 200 " in await served.raw((head + line + "\r\n").encode())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/nowhere", None),
        ("POST", "/api/daemon/status", None),
        ("PUT", "/api/daemon/pause", None),
        ("DELETE", "/api/daemon/mutations/mut_1", None),
        ("TRACE", "/", None),
        ("POST", "/api/daemon/mutations", b"x" * 70_000),
        ("POST", "/api/daemon/mutations", b"not json"),
        ("POST", "/api/daemon/mutations/no-such/approve", None),
    ],
)
async def test_without_the_token_nothing_else_is_said(
    tmp_path: Path, method: str, path: str, body: bytes | None
) -> None:
    """404, 405, 413, 400 and 409 are for those with the token; everybody else gets one and the same 401."""
    async with surface(tmp_path) as served:
        refused = await served.ask(method, path, body, token=WRONG)
        assert (refused.status, refused.json) == (401, UNAUTHORIZED)
        assert (await served.ask(method, path, body, token=DIGITS)).status in (400, 404, 405, 409, 413)


async def test_host_is_checked_before_everything(tmp_path: Path) -> None:
    """A rebound name gets 403 for reading too, with the token or without, on routes and on none."""
    async with surface(tmp_path) as served:
        for host in ("evil.test", f"evil.test:{served.port}", "127.0.0.1", "127.0.0.1:1", f"0.0.0.0:{served.port}"):
            for method, path in (("GET", "/api/daemon/status"), ("POST", "/api/daemon/pause"), ("GET", "/nowhere")):
                refused = await served.ask(method, path, token=DIGITS, headers={"Host": host})
                assert refused.status == 403, (host, path)
                assert refused.object["code"] == "forbidden_host"
        assert served.daemon.acts == []
        for host in (f"localhost:{served.port}", f"127.0.0.9:{served.port}", f"[::1]:{served.port}"):
            assert (await served.ask("GET", "/healthz", headers={"Host": host})).status == 200, host


async def test_a_foreign_page_reaches_nothing(tmp_path: Path) -> None:
    """A foreign Origin gets 403 with the token too; our own page passes; no answer invites other origins."""
    async with surface(tmp_path) as served:
        replies = []
        for origin in ("http://evil.test", "null", f"https://localhost:{served.port}"):
            refused = await served.ask("POST", "/api/daemon/pause", token=DIGITS, headers={"Origin": origin})
            assert (refused.status, refused.object["code"]) == (403, "forbidden_origin")
            replies.append(refused)
        assert served.daemon.acts == []
        own = await served.ask("GET", "/healthz", headers={"Origin": f"http://localhost:{served.port}"})
        assert own.status == 200
        preflight = await served.ask(
            "OPTIONS", "/api/daemon/pause", headers={"Access-Control-Request-Method": "POST"}
        )
        assert preflight.status == 403
        for reply in (*replies, own, preflight):
            assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_http_1_0_needs_a_host_too(tmp_path: Path) -> None:
    """The one version of HTTP that may leave Host out does not get around the check."""
    async with surface(tmp_path) as served:
        assert b" 403 " in await served.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b" 200 " in await served.raw(
            f"GET /healthz HTTP/1.0\r\nHost: localhost:{served.port}\r\n\r\n".encode()
        )


async def test_the_unix_socket_knows_its_owner(tmp_path: Path) -> None:
    """On the unix socket the daemon's own user needs neither token nor Host, and the history knows who it was."""
    async with surface(tmp_path) as served:
        reply = await served.ask(
            "POST", "/api/daemon/mutations", {"op": "project.add", "params": {"id": "a"}},
            unix=True, headers={"Host": "whatever"},
        )  # fmt: skip
        assert reply.status == 202
        assert served.daemon.submitted[0][2].startswith("uid ")
        await served.ask(
            "POST", "/api/daemon/mutations", {"op": "project.add", "params": {"id": "a"}}, token=DIGITS
        )
        assert served.daemon.submitted[1][2] == "control token"


async def test_a_page_does_not_get_in_by_the_unix_socket(tmp_path: Path) -> None:
    """A foreign Origin is refused there as well: a proxy in front may have passed it on."""
    async with surface(tmp_path) as served:
        refused = await served.ask("POST", "/api/daemon/pause", unix=True, headers={"Origin": "http://evil.test"})
        assert refused.status == 403


@pytest.mark.parametrize("uid", [4_000_000_000, None])
async def test_another_user_on_the_unix_socket_is_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int | None
) -> None:
    """Should the socket's mode ever let another user in, that user is treated as one without the token."""
    monkeypatch.setattr(protocol, "peer_of", lambda _socket: Peer(is_unix=True, uid=uid))
    async with surface(tmp_path) as served:
        refused = await served.ask("POST", "/api/daemon/pause", unix=True)
        assert (refused.status, refused.json) == (401, UNAUTHORIZED)
        assert b"hunter2" not in (await served.ask("GET", "/api/daemon/status", unix=True)).body
        assert served.daemon.acts == []
        assert (await served.ask("POST", "/api/daemon/pause", unix=True, token=DIGITS)).status == 200


async def test_head_is_get_without_the_body(tmp_path: Path) -> None:
    """HEAD has GET's status and headers, and no body; where GET is not possible it is not either."""
    async with surface(tmp_path) as served:
        for path in ("/healthz", "/api/daemon/status", "/nowhere", "/api/daemon/pause"):
            full, head = await served.ask("GET", path), await served.ask("HEAD", path)
            assert head.body == b""
            assert head.status == full.status
            assert head.headers.keys() == full.headers.keys()
            assert head.headers["content-length"] == str(len(full.body))


async def test_a_wrong_method_is_told_the_right_ones(tmp_path: Path) -> None:
    """405 carries Allow, and HEAD is in it where GET is."""
    async with surface(tmp_path) as served:
        for method, path, allow in (
            ("POST", "/api/daemon/status", "GET, HEAD"),
            ("DELETE", "/api/daemon/mutations", "GET, HEAD, POST"),
            ("PUT", "/api/daemon/pause", "POST"),
            ("POST", "/api/daemon/mutations/mut_1", "GET, HEAD"),
        ):
            refused = await served.ask(method, path, token=DIGITS)
            assert (refused.status, refused.headers["allow"]) == (405, allow)
            assert refused.object["code"] == "method_not_allowed"
        assert (await served.ask("GET", "/api/daemon/pause")).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nowhere", "/api", "/api/daemon/", "/api/daemon/status/", "//api/daemon/status", "/API/daemon/status",
        "/api/daemon/%73tatus", "/api/daemon/../daemon/status", "/api/daemon/mutations/", "/api/daemon/mutations/%ff",
        "/api/daemon/mutations/" + "x" * 513, "/api/daemon/mutations/a/b", "http://127.0.0.1/api/daemon/status", "*",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_404(tmp_path: Path, path: str) -> None:
    """A path is one of the table, spelled exactly so, or nothing."""
    async with surface(tmp_path) as served:
        reply = await served.ask("GET", path)
        assert reply.status == 404
        assert set(reply.object) == {"error", "code"}


async def test_path_parameters_are_decoded_once(tmp_path: Path) -> None:
    """`%252F` is the text `%2F`, `%2F` is a slash inside the identifier and never a separator."""
    async with surface(tmp_path) as served:
        twice = await served.ask("GET", "/api/daemon/mutations/a%252Fb")
        once = await served.ask("GET", "/api/daemon/mutations/a%2Fb")
        assert (twice.status, twice.object["error"]) == (404, 'no mutation "a%2Fb"')
        assert (once.status, once.object["error"]) == (404, 'no mutation "a/b"')


async def test_every_answer_forbids_caching_and_guessing(tmp_path: Path) -> None:
    """Good answers and refusals alike are not to be stored, not to be sniffed, dated, and do not name the server."""
    async with surface(tmp_path) as served:
        for reply in (
            await served.ask("GET", "/healthz"),
            await served.ask("GET", "/nowhere"),
            await served.ask("POST", "/api/daemon/pause"),
            await served.ask("GET", "/healthz", headers={"Host": "evil.test"}),
        ):
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["date"].endswith(" GMT")
            assert "server" not in reply.headers


async def _starting(served: Surface, path: str, **more: str) -> tuple[int, object, str | None]:
    reply = await served.ask("GET", path, headers=more)
    return reply.status, json.loads(reply.body), reply.headers.get("retry-after")


async def test_before_start_up_is_complete_every_route_says_so(tmp_path: Path) -> None:
    """503 with Retry-After on everything, from the first connection on; once open, the same server answers."""
    starting = (503, {"error": "daemon is still starting", "code": "starting"}, "1")
    async with surface(tmp_path, started=False) as served:
        for path in ("/healthz", "/readyz", "/api/daemon/status", "/nowhere", "/"):
            assert await _starting(served, path) == starting
        assert (await served.ask("POST", "/api/daemon/pause", token=DIGITS)).status == 503
        assert (await served.ask("POST", "/api/daemon/pause", unix=True)).status == 503
        assert (await _starting(served, "/healthz", Host="evil.test"))[0] == 403
        served.open()
        assert (await served.ask("GET", "/healthz")).body == b"ok"
        assert served.daemon.acts == []
