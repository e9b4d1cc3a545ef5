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

PARTS = ("cost", "held", "latency")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="measure only this (may be given more than once)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args()
    parts = arguments.part or PARTS
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sections: dict[str, list[Figure]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="donmai-bench-") as directory,
        own_servers() as (postgres, redis_server),
    ):
        real, place = Servers(postgres.url, redis_server.url), Path(directory)
        if "cost" in parts:
            sections |= cost.measure(place, real)
        if "held" in parts:
            sections |= held.measure(place, real)
        if "latency" in parts:
            sections |= latency.measure(place, real)
    print(json.dumps(as_json(sections), indent=2) if arguments.json else table(sections))
    return int(any(figure.missed for figures in sections.values() for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
