"""The two processes of `donmai dev`: started in order, watched, ended in order."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from donmai_daemon.cli.admin import AdminClient
from donmai_daemon.cli.child import Child, how_it_ended
from donmai_daemon.cli.client import ControlClient
from donmai_daemon.cli.dev_directory import DevDirectory, Keys, child_environment
from donmai_daemon.cli.endpoints import TcpEndpoint, UnixEndpoint
from donmai_daemon.cli.interrupts import Asked, Interrupts
from donmai_daemon.errors import DaemonNotRunning, DaemonRefused, DaemonSilent, DonmaiError, PlatformRefused
from donmai_daemon.model.json import text_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


LOOPBACK = "127.0.0.1"
OURSELVES = (sys.executable, "-m", "donmai_daemon")
RESTART_ME = 3
"""Exit code of a daemon that wants to be started again."""

_START_SECONDS = 60.0
_PROBE_SECONDS = 0.05
_DAEMON_END_SECONDS = 15.0
_PLATFORM_END_SECONDS = 5.0
_NO_ANSWER = (DaemonNotRunning, DaemonSilent, DaemonRefused)


class ChildEnded(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """A child ended that nobody asked to."""

    code = "child_ended"

    def __init__(self, child: Child, exit_code: int) -> None:
        super().__init__(
            f"the {child.name} ended by itself ({how_it_ended(exit_code)})", hint=f"all it wrote is in {child.log}"
        )
        self.child = child
        self.exit_code = exit_code


class DevEnvironment:
    """The platform and the daemon. Every wait ends early with `Asked` or `ChildEnded`."""

    def __init__(self, directory: DevDirectory, interrupts: Interrupts, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._interrupts = interrupts
        self._environ = child_environment(environ)
        self._platform: Child | None = None
        self._daemon: Child | None = None
        self.keys = Keys("", "")
        self.platform_url = ""
        self.control_url = ""
        self.control = ControlClient(())

    def start_platform(self, port: int) -> None:
        """Serve the platform on `port`, or on a free one where it is taken or 0. Returns when it answers."""
        port = free_port(port)
        self.platform_url = f"http://{LOOPBACK}:{port}"
        serve = [*OURSELVES, "platform", "serve", "--data-dir", str(self._directory.platform_data)]
        self._platform = self._start("platform", [*serve, "--host", LOOPBACK, "--port", str(port)], {})
        probe = ControlClient([TcpEndpoint(LOOPBACK, port, Path(os.devnull))])
        self._wait(lambda: _answers_200(probe, "/healthz"), "the platform does not answer")

    def provide_keys(self) -> None:
        """Take the keys of the last run where the platform still knows them, else new ones."""
        keys = self._directory.read_keys()
        if keys is None or not self._knows(keys):
            keys = self._mint()
            self._directory.write_keys(keys)
        self.keys = keys

    def start_daemon(self, port: int) -> None:
        """Run the daemon with its control API on `port`, or on a free one. Returns when a beat was accepted."""
        directory, state = self._directory, self._directory.state
        port = free_port(port)
        self.control_url = f"http://{LOOPBACK}:{port}"
        directory.provide_config()
        run = [*OURSELVES, "host", "run", "--config", str(directory.config), "--state-dir", str(state.directory)]
        environ = {"DONMAI_DAEMON_TOKEN": self.keys.worker, "DONMAI_PLATFORM__URL": self.platform_url}
        self._daemon = self._start("daemon", [*run, "--host", LOOPBACK, "--port", str(port)], environ)
        self.control = ControlClient(
            [UnixEndpoint(state.control_socket), TcpEndpoint(LOOPBACK, port, state.control_token)]
        )
        self._wait(lambda: _answers_200(self.control, "/readyz"), "the daemon has had no beat accepted", self._why)

    def restart_daemon(self) -> None:
        """Start a daemon that has ended again, on the address it had. Returns when a beat was accepted."""
        self.start_daemon(int(self.control_url.rpartition(":")[2]))

    def check(self) -> None:
        """Raises `ChildEnded` where a child is gone, `Asked` where we are to end."""
        if self._interrupts.asked:
            raise Asked
        for child in (self._platform, self._daemon):
            if child is not None and (code := child.exit_code) is not None:
                raise ChildEnded(child, code)

    def end(self) -> None:
        """End the daemon, then the platform it takes leave of. Being asked once more than before skips the patience."""
        patience = self._interrupts.asked
        for child, seconds in ((self._daemon, _DAEMON_END_SECONDS), (self._platform, _PLATFORM_END_SECONDS)):
            if child is not None:
                child.end(self._interrupts, seconds, give_up_after=patience)

    def _start(self, name: str, command: Sequence[str], environ: dict[str, str]) -> Child:
        directory = self._directory
        return Child(name, command, self._environ | environ, directory.log(name), inherits=[directory.lock])

    def _wait(self, done: Callable[[], bool], what: str, why: Callable[[], str] = str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise DonmaiError(
                    f"{what} after {_START_SECONDS:.0f} s{why()}", hint=f"the logs are in {self._directory.root}"
                )
            self._interrupts.pause(_PROBE_SECONDS)

    def _why(self) -> str:
        try:
            beat = self.control.get("/api/daemon/status").get("heartbeat")
        except _NO_ANSWER as error:
            return f": {error.message}"
        reason = text_or_none(beat, "lastError") if isinstance(beat, dict) else None
        return f": {reason}" if reason else ""

    def _knows(self, keys: Keys) -> bool:
        try:
            AdminClient(self.platform_url, keys.admin, allow_insecure=False).hosts()
        except PlatformRefused as error:
            if error.status == 401:
                return False
            raise
        return True

    def _mint(self) -> Keys:
        """Make both keys, at the same time: each is a process of its own."""
        create = [*OURSELVES, "platform", "key", "create", "--org", "dev", "--name", "donmai dev", "--json"]
        makers = [
            subprocess.Popen(
                [*create, "--role", role, "--data-dir", str(self._directory.platform_data)],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for role in Keys._fields
        ]
        return Keys(*[_made_key(role, maker) for role, maker in zip(Keys._fields, makers, strict=True)])


def _made_key(role: str, maker: subprocess.Popen[str]) -> str:
    out, err = maker.communicate()
    try:
        answer: object = json.loads(out) if maker.returncode == 0 else None
    except ValueError:
        answer = None
    key = answer.get("key") if isinstance(answer, dict) else None
    if not isinstance(key, str):
        raise DonmaiError(f"no {role} key could be made: {err.strip()[-300:] or how_it_ended(maker.returncode)}")
    return key


def free_port(wanted: int) -> int:
    """`wanted` where nothing has it, else one that the system picks. Somebody may take it before a child does; the child
    then says so and ends."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers_200(client: ControlClient, path: str) -> bool:
    try:
        return client.probe(path) == 200
    except _NO_ANSWER:
        return False
