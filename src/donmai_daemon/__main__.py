"""Allow `python -m donmai_daemon`."""

from donmai_daemon.cli.main import entry

if __name__ == "__main__":
    entry()
