"""CPU of one `GET /api/daemon/status`, beside the least that could answer it. `python -m bench.api`.

The other one is a starlette route that returns the same bytes, under the same uvicorn with the same settings: no guards, no
token, nothing read. Both answer over one kept connection; CPU is each process's own clock.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.footprint import cpu_ns

REQUESTS = 3000
ROUNDS = 5

BARE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
body = open(sys.argv[2], "rb").read()
async def status(request):
    return Response(body, media_type="application/json")
app = Starlette(routes=[Route("/api/daemon/status", status)])
uvicorn.run(app, port=int(sys.argv[1]), http="h11", loop="asyncio", ws="none", lifespan="off", access_log=False, log_level="error")
"""


@contextmanager
def serving(argv: list[str], environ: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers on `port`."""
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                status, _ = get(http.client.HTTPConnection("127.0.0.1", port, timeout=5))
            except OSError:
                status = 0
            if status == 200:
                break
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def get(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    connection.request("GET", "/api/daemon/status")
    answer = connection.getresponse()
    return answer.status, answer.read()


def micros(process: subprocess.Popen[bytes], port: int) -> float:
    """CPU microseconds a request: the median of some rounds, the first one not counted."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    rounds = []
    for _ in range(ROUNDS + 1):
        before = cpu_ns(process.pid)
        for _ in range(REQUESTS):
            assert get(connection)[0] == 200
        rounds.append((cpu_ns(process.pid) - before) / 1e3 / REQUESTS)
    connection.close()
    return statistics.median(rounds[1:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="donmai-bench-") as home:
        environ = {"HOME": home, "PATH": os.environ["PATH"]}
        port = free_port()
        ours = [sys.executable, "-P", "-m", "donmai_daemon", "host", "run", "--port", str(port)]
        with serving(ours, environ, port) as daemon:
            _, body = get(http.client.HTTPConnection("127.0.0.1", port))
            daemon_micros = micros(daemon, port)
        sample = Path(home) / "status.json"
        sample.write_bytes(body)
        port = free_port()
        with serving([sys.executable, "-c", BARE, str(port), str(sample)], environ, port) as bare:
            bare_micros = micros(bare, port)
    print(f"CPU of one GET /api/daemon/status ({len(json.dumps(json.loads(body)))} bytes)")
    print(f"  donmai          {daemon_micros:7.1f} µs")
    print(f"  bare starlette  {bare_micros:7.1f} µs")
    print(f"  ratio           {daemon_micros / bare_micros:7.2f}, target ≤ 1.5")


if __name__ == "__main__":
    main()
