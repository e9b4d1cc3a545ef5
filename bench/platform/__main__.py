"""`make bench-platform`: what a beat costs the platform, what a held one weighs, how soon a change is made. Loopback only."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path

from bench.platform import cost, held, latency
from bench.platform.figures import Figure, as_json, table
from tests.support.servers import Servers, own_servers

PARTS = {"cost": cost.measure, "held": held.measure, "latency": latency.measure}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="measure only this (may be given more than once)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sections: dict[str, list[Figure]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="donmai-bench-") as directory,
        own_servers() as (postgres, redis_server),
    ):
        real, place = Servers(postgres.url, redis_server.url), Path(directory)
        for part in arguments.part or PARTS:
            measured = PARTS[part](place, real)
            sections |= measured
            if not arguments.json:
                print(table(measured), flush=True)
    if arguments.json:
        print(json.dumps(as_json(sections), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
