"""The two sockets of the control API: TCP on loopback, and a unix socket that only its owner can open."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from donmai_daemon.errors import AddressUnavailable, ConfigInvalid

BACKLOG = 128
_PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound and listening. `port` is the port really bound, also where port 0 was asked for."""

    tcp: socket.socket
    unix: socket.socket
    host: str
    port: int
    path: Path
    inode: tuple[int, int]

    @property
    def url(self) -> str:
        """`http://host:port` of the TCP socket."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def close(self) -> None:
        """Close both, and remove the unix socket's file if it is still the one made here."""
        self.tcp.close()
        self.unix.close()
        with contextlib.suppress(OSError):
            if _inode(self.path) == self.inode:
                self.path.unlink()


def bind(host: str, port: int, socket_path: Path) -> Sockets:
    """Bind and listen: from here on a client waits for an answer instead of being turned away.

    Raises `ConfigInvalid` for an address that is not loopback, `AddressUnavailable` where somebody else listens
    there already, or the system does not allow it.
    """
    address = _loopback(host)
    tcp = _bind_tcp(address, port)
    try:
        unix = _bind_unix(socket_path)
    except BaseException:
        tcp.close()
        raise
    return Sockets(tcp, unix, address, tcp.getsockname()[1], socket_path, _inode(socket_path))


def _loopback(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigInvalid(
            f"{host!r} is not a loopback address",
            key="control.host",
            hint="the control API is for this machine only: use 127.0.0.1 or ::1",
        )
    return host


def _bind_tcp(address: str, port: int) -> socket.socket:
    # The protocol is named because asyncio turns off Nagle's algorithm only where it is; with it, an answer's body
    # waits 40 ms for the acknowledgement of its head.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    tcp = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last daemon's closed connections linger
        tcp.bind((address, port))
        tcp.listen(BACKLOG)
        tcp.setblocking(False)
    except (OSError, OverflowError) as error:
        tcp.close()
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        raise AddressUnavailable(
            f"control API cannot listen on {where}: {_reason(error)}",
            hint="see whether a daemon runs there already (donmai host status), or choose another port with --port",
        ) from error
    return tcp


def _bind_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # 0600 from the first moment; other threads' files only get narrower meanwhile
    try:
        unix.bind(str(path))
        unix.listen(BACKLOG)
        unix.setblocking(False)
    except OSError as error:
        unix.close()
        raise AddressUnavailable(
            f"control API cannot listen on {path}: {_reason(error)}",
            hint="set [control] socket to a path that is short enough (about 100 bytes) and can be written",
        ) from error
    finally:
        os.umask(before)
    return unix


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody answers on, as a killed daemon leaves it. Anything else stays."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing there, or bind() will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise AddressUnavailable(
            f"{path} is in the way: it is not a socket", hint="remove it, or set [control] socket"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # too busy to answer, or not ours to open: somebody's all the same
    raise AddressUnavailable(
        f"another process listens on {path}", hint="see whether it is a daemon: donmai host status"
    )


def _inode(path: Path) -> tuple[int, int]:
    about = path.lstat()
    return about.st_dev, about.st_ino


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
