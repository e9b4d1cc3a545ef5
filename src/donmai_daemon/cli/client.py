"""The control API, as the host verbs call it: blocking, standard library only, honest about why there is no answer."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from donmai_daemon import paths
from donmai_daemon.cli.endpoints import TcpEndpoint, UnixEndpoint, endpoints, home
from donmai_daemon.cli.http1 import Answer, AnswerBroken, exchange
from donmai_daemon.cli.process import lock_holder
from donmai_daemon.errors import DaemonNotRunning, DaemonRefused, DaemonSilent

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from donmai_daemon.cli.console import Console
    from donmai_daemon.model.json import Json, JsonObject

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0


def client_for(arguments: Namespace, console: Console) -> ControlClient:
    """The daemon that a host verb's options and environment mean."""
    state = paths.state_directory(arguments.state_dir, console.environ, home(console.environ))
    return ControlClient(endpoints(arguments, console.environ), paths.StatePaths(state).lock)


class ControlClient:
    """One daemon's control API. The first endpoint that takes a connection is the daemon; later calls go there too."""

    def __init__(self, candidates: Iterable[UnixEndpoint | TcpEndpoint], lock: Path | None = None) -> None:
        """`lock` names a lock file whose holder is the daemon that should have answered."""
        self._candidates = candidates
        self._lock = lock
        self._found: UnixEndpoint | TcpEndpoint | None = None

    @property
    def address(self) -> str:
        """Where the daemon was found, "" before the first call."""
        return str(self._found or "")

    def get(self, path: str) -> JsonObject:
        """The JSON object at `path`.

        Raises `DaemonNotRunning`, `DaemonSilent`, and `DaemonRefused` on a status that is not 2xx.
        """
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, Json] | None = None) -> JsonObject:
        """Ask for a change; raises as `get` does."""
        return self._call("POST", path, body or {})

    def probe(self, path: str) -> int:
        """The status of a plain route (`/readyz`), whatever it is. Raises `DaemonNotRunning` and `DaemonSilent`."""
        return self._exchange("GET", path, None).status

    def _call(self, method: str, path: str, body: Mapping[str, Json] | None) -> JsonObject:
        answer = self._exchange(method, path, body)
        try:
            payload: object = json.loads(answer.body)
        except ValueError as error:
            raise DaemonSilent(f"what answers at {self.address} is not a donmai daemon (no JSON)") from error
        if not isinstance(payload, dict):
            raise DaemonSilent(f"what answers at {self.address} is not a donmai daemon (no JSON object)")
        if 200 <= answer.status < 300:
            return payload
        raise self._refusal(answer.status, payload)

    def _exchange(self, method: str, path: str, body: Mapping[str, Json] | None) -> Answer:
        connection = self._connect()
        endpoint = self._found
        lines = [f"{method} {path} HTTP/1.1", "Accept: application/json", "Connection: close"]
        lines.append(f"Host: {endpoint if isinstance(endpoint, TcpEndpoint) else 'localhost'}")
        content = b""
        if body is not None:
            content = json.dumps(body).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
            if isinstance(endpoint, TcpEndpoint) and (token := _token(endpoint)):
                lines.append(f"Authorization: Bearer {token}")
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
        with connection:
            try:
                return exchange(connection, request, _ANSWER_SECONDS)
            except TimeoutError as error:
                raise DaemonSilent(
                    f"the daemon at {endpoint} did not answer within {_ANSWER_SECONDS:.0f} s",
                    hint="look at its log: donmai host logs",
                ) from error
            except AnswerBroken as error:
                raise DaemonSilent(f"the answer from {endpoint} cannot be read: {error}") from error
            except OSError as error:
                raise DaemonSilent(f"the daemon at {endpoint} dropped the connection: {error.strerror}") from error

    def _connect(self) -> socket.socket:
        refused: PermissionError | None = None
        for endpoint in [self._found] if self._found else self._candidates:
            try:
                connection = _open(endpoint)
            except PermissionError as error:
                refused = refused or PermissionError(error.errno, error.strerror, str(endpoint))
                continue
            except OSError:
                continue
            self._found = endpoint
            return connection
        if refused is not None:
            raise DaemonRefused(
                403, f"no permission to talk to the daemon at {refused.filename}", hint="try again with sudo"
            ) from refused
        holder = lock_holder(self._lock) if self._lock else None
        if self._lock and holder:
            raise DaemonSilent(
                f"a daemon (pid {holder}) uses {self._lock.parent}, but its control API was not found",
                hint="name its address with --port, or its socket with DONMAI_CONTROL__SOCKET",
            )
        raise DaemonNotRunning("daemon is not running", hint="start it with: donmai host run")

    def _refusal(self, status: int, payload: Mapping[str, Json]) -> DaemonRefused:
        text, code = payload.get("error"), payload.get("code")
        detail = text if isinstance(text, str) else ""
        hint = None
        if status == 401 and isinstance(self._found, TcpEndpoint):
            detail = f"the daemon at {self.address} does not accept the token in {self._found.token_file}: {detail}"
            hint = "name that daemon's own state directory with --state-dir, or try again with sudo"
        elif status == 401:
            detail = f"the daemon at {self.address} does not take orders from this user: {detail}"
            hint = "try again with sudo, or as the daemon's own user"
        elif status == 403:
            detail = f"the daemon at {self.address} forbids this request: {detail}"
        elif status == 503:
            hint = "try again in a second"
        return DaemonRefused(status, detail, code if isinstance(code, str) else "", hint=hint)


def _token(endpoint: TcpEndpoint) -> str:
    """The control token, "" where it cannot be read: the daemon's 401 then says what is wrong."""
    try:
        return endpoint.token_file.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _open(endpoint: UnixEndpoint | TcpEndpoint) -> socket.socket:
    if isinstance(endpoint, TcpEndpoint):
        return socket.create_connection((endpoint.host, endpoint.port), timeout=_CONNECT_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(str(endpoint.path))
    except OSError:
        connection.close()
        raise
    return connection
