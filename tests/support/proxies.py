"""What stands in front of several platform processes: a balancer of connections, and nginx with the project's own configuration."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.waiting import eventually

CONFIGURATION = Path(__file__).parents[2] / "packaging" / "nginx" / "donmai-platform.conf"
_PATIENCE = 30.0


@dataclass
class Front:
    """Where clients go. `authority` is the certificate that they have to trust, None where there is no TLS.

    `upstreams` are URLs; whoever starts the front may do so before the processes behind it.
    """

    url: str
    authority: Path | None = None
    upstreams: Sequence[str] = ()


@contextmanager
def balancer() -> Iterator[Front]:
    """Hands each connection to the next upstream that takes it, and passes bytes until one side has ended."""
    turns = count()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            upstream = _connected(front.upstreams, next(turns))
            if upstream is not None:
                with closing(upstream):
                    _pass_on(self.request, upstream)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler, bind_and_activate=False) as server:
        server.daemon_threads = True
        server.request_queue_size = 128
        server.server_bind()
        server.server_activate()
        front = Front(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield front
        finally:
            server.shutdown()
            thread.join()


def _connected(upstreams: Sequence[str], turn: int) -> socket.socket | None:
    for step in range(len(upstreams)):
        parts = urlsplit(upstreams[(turn + step) % len(upstreams)])
        try:
            return socket.create_connection((parts.hostname, parts.port), 2)
        except OSError:
            continue  # that one is away
    return None


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    for end in peers:
        end.settimeout(_PATIENCE)
    while True:
        for ready in select.select([*peers], [], [])[0]:
            try:
                piece = ready.recv(65536)
                peers[ready].sendall(piece)
            except OSError:
                return
            if not piece:
                return


@contextmanager
def nginx(directory: Path, upstreams: Sequence[str], port: int) -> Iterator[Front]:
    """nginx with the configuration of the project, its addresses and certificate replaced by ones that are free here."""
    certificate, key = directory / "front.pem", directory / "front.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    text = CONFIGURATION.read_text("utf-8")
    for theirs, ours in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "    listen [::]:443 ssl;\n": "",
        "/etc/ssl/certs/donmai-platform.pem": str(certificate),
        "/etc/ssl/private/donmai-platform.key": str(key),
        **{f"server 127.0.0.1:{7735 + n} ": f"server {urlsplit(url).netloc} " for n, url in enumerate(upstreams)},
    }.items():
        assert theirs in text, f"{CONFIGURATION.name}: {theirs}"
        text = text.replace(theirs, ours)
    assert all(text.count(urlsplit(url).netloc) == 2 for url in upstreams), "the two lists are not the same"
    (directory / "platform.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # the directory is closed to others
    (directory / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 2; pid nginx.pid; error_log error.log; events {{ worker_connections 2000; }}"
        f" http {{ access_log access.log; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;"
        f" uwsgi_temp_path uwsgi; scgi_temp_path scgi; include platform.conf; }}"
    )
    running = subprocess.Popen(
        [nginx_program(), "-p", str(directory), "-c", "nginx.conf", "-e", "error.log"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _until_open(port, running, directory / "error.log")
        yield Front(f"https://127.0.0.1:{port}", certificate, upstreams)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(_PATIENCE)


def nginx_program() -> str:
    """nginx from PATH, else of Debian's package, unpacked and not installed."""
    if found := shutil.which("nginx"):
        return found
    place = Path(__file__).parents[2] / "build" / "nginx"
    program = place / "usr" / "sbin" / "nginx"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "nginx"], cwd=place, check=True, capture_output=True, timeout=120)
        package = next(place.glob("nginx_*.deb"))
        subprocess.run(["dpkg-deb", "--extract", str(package), str(place)], check=True, capture_output=True)
    return str(program)


def _until_open(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    def said() -> str:
        return log.read_text() if log.exists() else ""

    def listens() -> bool:
        assert running.poll() is None, said()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    eventually(listens, _PATIENCE, said=said)
