"""Where a daemon may be listening: unix sockets first, then an address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from donmai_daemon import paths
from donmai_daemon.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7734


class UnixEndpoint(NamedTuple):
    """A unix socket. It knows its caller by uid, so no token is sent."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


class TcpEndpoint(NamedTuple):
    """A loopback address, and the file whose token opens everything but GET there."""

    host: str
    port: int
    token_file: Path

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def home(environ: Mapping[str, str]) -> Path:
    """The user's home directory."""
    return Path(environ.get("HOME") or "~").expanduser()


def endpoints(arguments: Namespace, environ: Mapping[str, str]) -> Iterator[UnixEndpoint | TcpEndpoint]:
    """Candidates in the order to try them. Lazy: the configuration is only read when no socket answered.

    `--host` or `--port` means that address and nothing else. A state directory that was named (by option or
    `DONMAI_STATE_DIR`) means the daemon of that directory, so neither the system service nor whoever has the default
    port is asked in its place.
    """
    base = home(environ)
    state = paths.StatePaths(paths.state_directory(arguments.state_dir, environ, base))
    if arguments.host is not None or arguments.port is not None:
        host = arguments.host or DEFAULT_HOST
        _refuse_foreign(host)
        yield TcpEndpoint(host, arguments.port or DEFAULT_PORT, state.control_token)
        return
    configured = environ.get("DONMAI_CONTROL__SOCKET")
    if configured:
        yield UnixEndpoint(_below(base, configured))
    yield UnixEndpoint(state.control_socket)
    if arguments.state_dir or environ.get("DONMAI_STATE_DIR"):
        return
    yield UnixEndpoint(paths.SYSTEM_SOCKET)
    control = _control_table(paths.config_path(None, environ, base))
    socket = control.get("socket")
    if isinstance(socket, str) and not configured:
        yield UnixEndpoint(_below(base, socket))
    host = environ.get("DONMAI_CONTROL__HOST") or control.get("host")
    port = environ.get("DONMAI_CONTROL__PORT") or control.get("port")
    host = host if isinstance(host, str) else DEFAULT_HOST
    _refuse_foreign(host)
    try:
        yield TcpEndpoint(host, int(str(port)), state.control_token)
    except ValueError:
        yield TcpEndpoint(host, DEFAULT_PORT, state.control_token)


def _refuse_foreign(host: str) -> None:
    """The control token goes to this machine and to no other."""
    is_ipv4_loopback = host.startswith("127.") and host.replace(".", "").isdigit()
    if host not in ("localhost", "::1") and not is_ipv4_loopback:
        raise UsageError(
            f"{host} is not a loopback address: the control API is on this machine only",
            hint="use 127.0.0.1, ::1 or localhost",
        )


def _below(base: Path, text: str) -> Path:
    return base / text.removeprefix("~/")


def _control_table(config: Path) -> Mapping[str, object]:
    """`[control]` of the configuration file, as far as it can be read; what is wrong with it is not this verb's matter."""
    try:
        raw = config.read_bytes()
    except OSError:
        return {}
    import tomllib

    try:
        table: object = tomllib.loads(raw.decode("utf-8-sig")).get("control")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}
