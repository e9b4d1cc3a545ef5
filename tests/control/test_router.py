"""Finding the route that a path means."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.control import DIGITS, surface

from donmai_daemon.control.answer import Answer
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import Route, RouteGroup, Router
from donmai_daemon.errors import NotFound


async def show(request: Request) -> Answer:
    if request.params.get("id") == "gone":
        raise NotFound("session not found")
    return Answer({**request.params, "bearer": request.caller.bearer, "prompt": "secret"})


def route(method: str, pattern: str) -> Route:
    assert method in ("GET", "POST")
    return Route("GET" if method == "GET" else "POST", pattern, show, "", {200: "Thing"})


def group(*routes: Route) -> RouteGroup:
    return RouteGroup("things", routes, lambda: {"Thing": {}})


ROUTER = Router(
    [
        group(route("GET", "/things"), route("POST", "/things"), route("GET", "/things/{id}")),
        group(route("GET", "/things/special"), route("POST", "/things/{id}/parts/{part}")),
    ]
)


@pytest.mark.parametrize(
    ("path", "pattern", "params"),
    [
        (b"/things", "/things", {}),
        (b"/things/1", "/things/{id}", {"id": "1"}),
        (b"/things/special", "/things/special", {}),
        (b"/things/%73pecial", "/things/{id}", {"id": "special"}),
        (b"/things/a%20b%2Fc%C3%A4+d", "/things/{id}", {"id": "a b/cä+d"}),
        (b"/things/" + b"x" * 512, "/things/{id}", {"id": "x" * 512}),
        (b"/things/%2525", "/things/{id}", {"id": "%25"}),
        (b"/things/%zz", "/things/{id}", {"id": "%zz"}),
        (b"/things/1/parts/2", "/things/{id}/parts/{part}", {"id": "1", "part": "2"}),
    ],
)
def test_a_path_finds_its_route(path: bytes, pattern: str, params: dict[str, str]) -> None:
    """Fixed paths win over parameters, and a parameter is percent-decoded once."""
    found = ROUTER.find(path)
    assert found is not None
    assert {route.pattern for route in found.methods.values()} == {pattern}
    assert found.params == params


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"things",
        b"/things/",
        b"/things//",
        b"/things/%ff",
        b"/things/1/parts",
        b"/things/1/parts/2/3",
        b"/things/" + b"x" * 513,
    ],
)
def test_a_path_may_find_nothing(path: bytes) -> None:
    """Empty segments, over-long ones, invalid UTF-8 and other depths name nothing."""
    assert ROUTER.find(path) is None


def test_the_methods_of_a_path_are_told_together() -> None:
    """Allow lists what the whole table has for the path, HEAD with GET."""
    found, parts = ROUTER.find(b"/things"), ROUTER.find(b"/things/1/parts/2")
    assert found is not None
    assert parts is not None
    assert (found.allow, parts.allow) == (b"GET, HEAD, POST", b"POST")


def test_two_routes_on_one_place_are_a_mistake() -> None:
    """A later group cannot silently take over an earlier one's route."""
    with pytest.raises(ValueError, match="two routes for GET /things"):
        Router([group(route("GET", "/things")), group(route("GET", "/things"))])


@pytest.mark.anyio
async def test_another_part_of_the_daemon_brings_routes(tmp_path: Path) -> None:
    """A group passed in is guarded, redacted and refused like our own, and sees the bearer that was presented."""
    more = [group(route("GET", "/api/daemon/things/{id}"), route("POST", "/api/daemon/things/{id}"))]
    async with surface(tmp_path, more=more) as served:
        path = "/api/daemon/things/a"
        assert (await served.ask("GET", path)).json == {"id": "a", "bearer": None, "prompt": ""}
        assert (await served.ask("GET", path, token="own-token")).json == {
            "id": "a", "bearer": "own-token", "prompt": "",
        }  # fmt: skip
        assert (await served.ask("GET", path, token=DIGITS)).object["prompt"] == "secret"
        assert (await served.ask("POST", path)).status == 401
        assert (await served.ask("POST", path, token=DIGITS)).status == 200
        gone = await served.ask("GET", "/api/daemon/things/gone")
        assert (gone.status, gone.json) == (404, {"error": "session not found", "code": "not_found"})
        assert "/api/daemon/things/{id}" in str((await served.ask("GET", "/openapi.json")).object["paths"])
