"""`make bench`: what one operation costs, what a beat costs, what the process costs. Ten minutes, loopback only."""

from __future__ import annotations

import argparse

from bench import api, beats, edits, footprint, peers

IDLE_SECONDS = 60.0


def at_rest() -> None:
    """The daemon beside the other programs."""
    footprint.show({**dict(footprint.measure(IDLE_SECONDS)), **dict(peers.measure(IDLE_SECONDS))})


PARTS = {"edits": edits.main, "beats": beats.main, "api": api.main, "footprint": at_rest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="measure only this (may be given more than once)"
    )
    for number, part in enumerate(parser.parse_args().part or PARTS):
        if number:
            print()
        PARTS[part]()


if __name__ == "__main__":
    main()
