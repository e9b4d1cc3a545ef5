"""The control client: which daemon it finds, and what it says when it finds none."""

from __future__ import annotations

import io
import json
import os
import socket
from argparse import Namespace
from pathlib import Path

import pytest
from tests.support.cli import ScriptedServer, answer

from donmai_daemon.cli.client import ControlClient, client_for
from donmai_daemon.cli.console import Console
from donmai_daemon.cli.endpoints import TcpEndpoint, UnixEndpoint
from donmai_daemon.errors import DaemonNotRunning, DaemonRefused, DaemonSilent, UsageError

NOBODY = Path(os.devnull)


def client(
    home: Path, /, host: str | None = None, port: int | None = None, state_dir: str | None = None, **environ: str
) -> ControlClient:
    """The client that these options and this environment mean."""
    console = Console(io.StringIO(), io.StringIO(), {"HOME": str(home), **environ})
    return client_for(Namespace(host=host, port=port, state_dir=state_dir), console)


def named(name: str) -> ScriptedServer:
    """A daemon on TCP that says who it is."""
    return ScriptedServer(lambda _: answer(200, {"name": name}))


def named_at(name: str, path: Path) -> ScriptedServer:
    """A daemon on a unix socket that says who it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return ScriptedServer(lambda _: answer(200, {"name": name}), path)


def test_the_socket_comes_before_the_address(tmp_path: Path) -> None:
    """Where both listen, the state directory's socket is asked."""
    with named_at("unix", tmp_path / ".donmai" / "control.sock"), named("tcp") as tcp:
        assert client(tmp_path, DONMAI_CONTROL__PORT=str(tcp.port)).get("/") == {"name": "unix"}


def test_a_stale_socket_is_passed_over(tmp_path: Path) -> None:
    """A socket file that nobody listens on any more does not hide the daemon."""
    path = tmp_path / ".donmai" / "control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with named("tcp") as tcp:
        assert client(tmp_path, DONMAI_CONTROL__PORT=str(tcp.port)).get("/") == {"name": "tcp"}


def test_a_port_means_that_address(tmp_path: Path) -> None:
    """With --port no socket is tried."""
    with named_at("unix", tmp_path / ".donmai" / "control.sock"), named("tcp") as tcp:
        assert client(tmp_path, port=tcp.port).get("/") == {"name": "tcp"}


def test_a_state_directory_means_its_daemon(tmp_path: Path) -> None:
    """A named state directory never falls back to whoever has the configured port."""
    with named("other") as tcp:
        port = str(tcp.port)
        with pytest.raises(DaemonNotRunning):
            client(tmp_path, state_dir=str(tmp_path / "mine"), DONMAI_CONTROL__PORT=port).get("/")
        with pytest.raises(DaemonNotRunning):
            client(tmp_path, DONMAI_STATE_DIR=str(tmp_path / "mine"), DONMAI_CONTROL__PORT=port).get("/")
        assert tcp.seen == []


def test_the_configured_address_and_socket_are_tried(tmp_path: Path) -> None:
    """`[control]` of the configuration file tells where else to look; the environment wins over it."""
    config = tmp_path / ".donmai" / "daemon.toml"
    config.parent.mkdir()
    with named("tcp") as tcp, named_at("moved", tmp_path / "moved.sock"):
        config.write_text(f"[control]\nport = {tcp.port}\n")
        assert client(tmp_path).get("/") == {"name": "tcp"}
        config.write_text(f"[control]\nport = {tcp.port}\nsocket = '~/moved.sock'\n")
        assert client(tmp_path).get("/") == {"name": "moved"}
        config.write_text("[control]\nport = 1\n")
        assert client(tmp_path, DONMAI_CONTROL__PORT=str(tcp.port)).get("/") == {"name": "tcp"}
        assert client(tmp_path, DONMAI_CONTROL__SOCKET=str(tmp_path / "moved.sock")).get("/") == {"name": "moved"}


def test_no_daemon(tmp_path: Path) -> None:
    """Nobody there: the sentence of the specification, and how to start one."""
    with pytest.raises(DaemonNotRunning) as caught:
        client(tmp_path, state_dir="none").get("/")
    assert caught.value.message == "daemon is not running"
    assert caught.value.hint == "start it with: donmai host run"


def test_a_daemon_that_holds_the_lock_is_not_called_absent(tmp_path: Path) -> None:
    """Where a living process holds the state directory but its API is elsewhere, that is what is said."""
    (tmp_path / "daemon.lock").write_text(f"{os.getpid()}\n")
    with pytest.raises(DaemonSilent, match=rf"a daemon \(pid {os.getpid()}\) uses {tmp_path}"):
        client(tmp_path, state_dir=str(tmp_path)).get("/")


@pytest.mark.parametrize("content", ["", "x", "-1", "99999999999999999999"])
def test_a_lock_without_a_living_holder_says_nothing(tmp_path: Path, content: str) -> None:
    """A lock file that a killed daemon left is no daemon."""
    (tmp_path / "daemon.lock").write_text(content)
    with pytest.raises(DaemonNotRunning):
        client(tmp_path, state_dir=str(tmp_path)).get("/")


@pytest.mark.parametrize("host", ["10.0.0.1", "example.com", "127.example.com", "0.0.0.0"])
def test_the_token_stays_on_this_machine(tmp_path: Path, host: str) -> None:
    """A host that is not loopback is refused before anything is sent."""
    with pytest.raises(UsageError):
        client(tmp_path, host=host).post("/")
    with pytest.raises(UsageError):
        client(tmp_path, DONMAI_CONTROL__HOST=host).post("/")


def test_requests_name_the_host_and_close(tmp_path: Path) -> None:
    """A request carries the Host that the daemon's guard expects, and asks for the connection to close."""
    with named("tcp") as tcp:
        client(tmp_path, port=tcp.port).get("/api?x=1")
        assert tcp.seen[0].path == "/api?x=1"
        assert tcp.seen[0].headers["host"] == f"127.0.0.1:{tcp.port}"
        assert tcp.seen[0].headers["connection"] == "close"
    assert str(TcpEndpoint("::1", 7734, NOBODY)) == "[::1]:7734"


def test_the_token_goes_with_changes_over_tcp_only(tmp_path: Path) -> None:
    """POST over TCP carries the control token; GET and the unix socket never do."""
    (tmp_path / "control-token").write_text("ab" * 32 + "\n")
    with named("tcp") as tcp, named_at("unix", tmp_path / "control.sock") as unix:
        over_tcp = client(tmp_path, port=tcp.port, state_dir=str(tmp_path))
        over_tcp.get("/")
        over_tcp.post("/", {"a": 1})
        client(tmp_path, state_dir=str(tmp_path)).post("/")
    assert [request.headers.get("authorization") for request in tcp.seen] == [None, f"Bearer {'ab' * 32}"]
    assert json.loads(tcp.seen[1].body) == {"a": 1}
    assert "authorization" not in unix.seen[0].headers
    assert json.loads(unix.seen[0].body) == {}


@pytest.mark.parametrize(
    ("status", "told", "message", "hint"),
    [
        (
            401,
            "missing or invalid control token",
            "does not accept the token in .*control-token: missing or",
            "--state-dir",
        ),
        (403, "Host must be a loopback name", "forbids this request: Host must be", None),
        (404, "mutation not found", "^mutation not found$", None),
        (409, "already paused", "^already paused$", None),
        (503, "daemon is still starting", "^daemon is still starting$", "try again in a second"),
        (500, "", "^the daemon answered 500$", None),
    ],
)
def test_every_refusal_is_told_as_it_is(
    tmp_path: Path, status: int, told: str, message: str, hint: str | None
) -> None:
    """A refusal is never called unreachable: the daemon's own words are passed on."""
    with (
        ScriptedServer(lambda _: answer(status, {"error": told, "code": "some_code"})) as tcp,
        pytest.raises(DaemonRefused, match=message) as caught,
    ):
        client(tmp_path, port=tcp.port).post("/")
    assert (caught.value.status, caught.value.answer_code) == (status, "some_code")
    assert (hint or "") in (caught.value.hint or "")
    assert (caught.value.hint is None) == (hint is None)


def test_another_user_of_the_socket_is_told_so(tmp_path: Path) -> None:
    """A 401 over the unix socket is about the user, not about a token."""
    with (
        ScriptedServer(lambda _: answer(401, {"error": "no"}), tmp_path / "control.sock"),
        pytest.raises(DaemonRefused, match="does not take orders from this user") as caught,
    ):
        client(tmp_path, state_dir=str(tmp_path)).post("/")
    assert "sudo" in str(caught.value.hint)


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b'HTTP/1.1 200 OK\r\n\r\n{"cut',
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"",
    ],
)
def test_what_is_not_a_daemon_is_said_to_be_none(tmp_path: Path, raw: bytes) -> None:
    """Whatever else listens there is neither a daemon nor a crash of ours."""
    with ScriptedServer(lambda _: raw) as tcp, pytest.raises(DaemonSilent, match=f"127.0.0.1:{tcp.port}"):
        client(tmp_path, port=tcp.port).get("/")


def test_silence_is_told_as_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that takes the connection and does not answer is said to be there, and silent."""
    monkeypatch.setattr("donmai_daemon.cli.client._ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(DaemonSilent, match="did not answer within"):
        client(tmp_path, port=mute.getsockname()[1]).get("/")


def test_later_calls_go_to_the_daemon_that_was_found(tmp_path: Path) -> None:
    """Once found, the same endpoint is asked again, also where another has come up since."""
    with named("tcp") as tcp:
        found = ControlClient([UnixEndpoint(tmp_path / "s"), TcpEndpoint("127.0.0.1", tcp.port, NOBODY)])
        assert found.get("/") == {"name": "tcp"}
        with named_at("unix", tmp_path / "s"):
            assert found.get("/") == {"name": "tcp"}
    with pytest.raises(DaemonNotRunning):
        found.get("/")


def test_a_forbidden_socket_is_not_an_absent_daemon(tmp_path: Path) -> None:
    """Where the socket is there and may not be opened, the hint is sudo, not a second daemon."""
    with named_at("theirs", tmp_path / "control.sock"):
        (tmp_path / "control.sock").chmod(0)
        own = os.geteuid()
        if own == 0:
            os.seteuid(65534)  # nothing is forbidden to root
        try:
            with pytest.raises(DaemonRefused, match="no permission") as caught:
                client(tmp_path, state_dir=str(tmp_path)).get("/")
        finally:
            os.seteuid(own)
    assert caught.value.hint == "try again with sudo"
