"""Where the control API listens, and where it refuses to."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from donmai_daemon.control.peer import TCP_PEER, Peer, peer_of
from donmai_daemon.control.sockets import bind
from donmai_daemon.errors import AddressUnavailable, ConfigInvalid


def test_port_zero_picks_a_free_port(tmp_path: Path) -> None:
    """The port that was really bound is told, and listens from then on."""
    sockets = bind("127.0.0.1", 0, tmp_path / "control.sock")
    try:
        assert sockets.port > 0
        assert sockets.url == f"http://127.0.0.1:{sockets.port}"
        socket.create_connection(("127.0.0.1", sockets.port), timeout=5).close()
    finally:
        sockets.close()


def test_localhost_is_loopback(tmp_path: Path) -> None:
    """The name is taken as the address it stands for."""
    sockets = bind("localhost", 0, tmp_path / "control.sock")
    sockets.close()
    assert sockets.host == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "example.org", "", "127.0.0.1 ", "fe80::1"]
)
def test_an_address_that_others_can_reach_is_refused(tmp_path: Path, host: str) -> None:
    """Only loopback, whatever the configuration says; nothing is bound then."""
    with pytest.raises(ConfigInvalid, match="not a loopback address") as caught:
        bind(host, 0, tmp_path / "control.sock")
    assert caught.value.key == "control.host"
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    """Host, port and what to do; the unix socket is not touched."""
    first = bind("127.0.0.1", 0, tmp_path / "first.sock")
    try:
        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{first.port}: Address already in use") as caught:
            bind("127.0.0.1", first.port, tmp_path / "second.sock")
        assert caught.value.hint
        assert "--port" in caught.value.hint
        assert not (tmp_path / "second.sock").exists()
    finally:
        first.close()


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_a_clear_error(tmp_path: Path, port: int) -> None:
    """A number out of range is told like a port that is taken."""
    with pytest.raises(AddressUnavailable, match=str(port)):
        bind("127.0.0.1", port, tmp_path / "control.sock")


def test_a_port_is_free_again_at_once(tmp_path: Path) -> None:
    """Connections that the last daemon closed do not keep the next one from starting."""
    path = tmp_path / "control.sock"
    first = bind("127.0.0.1", 0, path)
    client = socket.create_connection(("127.0.0.1", first.port), timeout=5)
    first.tcp.setblocking(True)
    accepted, _ = first.tcp.accept()
    accepted.close()  # the server closes first, so its side lingers
    first.close()
    assert client.recv(1) == b""
    client.close()
    bind("127.0.0.1", first.port, path).close()


def test_the_unix_socket_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, and the umask is given back."""
    before = os.umask(0)
    try:
        sockets = bind("127.0.0.1", 0, tmp_path / "control.sock")
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(sockets.path.stat().st_mode) == 0o600
    finally:
        sockets.close()
    assert not sockets.path.exists()


def test_the_socket_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    """A socket file that nobody answers on is in nobody's way."""
    path = tmp_path / "control.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    sockets = bind("127.0.0.1", 0, path)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
    sockets.close()
    assert not path.exists()


def test_the_socket_of_a_living_daemon_stays(tmp_path: Path) -> None:
    """A socket that somebody listens on is left alone, busy or not."""
    path = tmp_path / "control.sock"
    first = bind("127.0.0.1", 0, path)
    try:
        with pytest.raises(AddressUnavailable, match="another process listens"):
            bind("127.0.0.1", 0, path)
        assert path.exists()
    finally:
        first.close()


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    """What is not a socket is somebody's file."""
    path = tmp_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(AddressUnavailable, match="not a socket"):
        bind("127.0.0.1", 0, path)
    assert path.read_text() == "precious"


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link is not a socket, wherever it leads."""
    path = tmp_path / "control.sock"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AddressUnavailable, match="not a socket"):
        bind("127.0.0.1", 0, path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["x" * 120, "missing/control.sock"])
def test_a_path_that_cannot_be_a_socket_is_a_clear_error(tmp_path: Path, name: str) -> None:
    """Too long, or in no directory: the message names the path, and the port is free again."""
    with pytest.raises(AddressUnavailable, match="cannot listen on") as caught:
        bind("127.0.0.1", 0, tmp_path / name)
    assert name in caught.value.message


def test_closing_leaves_a_successors_socket(tmp_path: Path) -> None:
    """A daemon that ends late does not take the next one's socket file away."""
    path = tmp_path / "control.sock"
    late = bind("127.0.0.1", 0, path)
    path.unlink()
    next_one = bind("127.0.0.1", 0, path)
    late.close()
    assert path.exists()
    next_one.close()
    assert not path.exists()


def test_the_kernel_says_who_connected() -> None:
    """On a unix socket the peer is this process's user, and trusted; on TCP it is nobody."""
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        peer = peer_of(here)
    assert (peer.is_unix, peer.uid, peer.trusted) == (True, os.geteuid(), True)
    with socket.socket(socket.AF_INET) as tcp:
        assert peer_of(tcp) is TCP_PEER
    assert not TCP_PEER.trusted
    assert Peer(is_unix=True, uid=0).trusted
    assert not Peer(is_unix=True, uid=os.geteuid() + 1).trusted
