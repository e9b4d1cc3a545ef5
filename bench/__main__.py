"""`make bench`: what one operation costs, what a beat costs, what the process costs. Ten minutes, loopback only."""

from __future__ import annotations

from bench import api, beats, edits, footprint, peers

IDLE_SECONDS = 60.0


def main() -> None:
    edits.main()
    print()
    beats.main()
    print()
    api.main()
    print()
    footprint.show({**dict(footprint.measure(IDLE_SECONDS)), **dict(peers.measure(IDLE_SECONDS))})


if __name__ == "__main__":
    main()
