"""What is synced before what. A file system that stays up forgets nothing, so a trace of the calls is what can be seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from donmai_daemon.control.token import load_or_create
from donmai_daemon.store.atomic import write_private
from donmai_daemon.store.config_file import ConfigFile, digest
from donmai_daemon.store.exchange import ExchangeUnsupported, exchange
from donmai_daemon.store.journal import Journal

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


class Trace:
    """The calls that decide what a power failure leaves, in order: `sync NAME`, `mode NAME`, and the steps of the code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._fsync, self._fchmod = os.fsync, os.fchmod
        monkeypatch.setattr(os, "fsync", self._on_fsync)
        monkeypatch.setattr(os, "fchmod", self._on_fchmod)

    def _on_fsync(self, descriptor: int) -> None:
        self._note("sync", descriptor)
        self._fsync(descriptor)

    def _on_fchmod(self, descriptor: int, mode: int) -> None:
        self._note("mode", descriptor)
        self._fchmod(descriptor, mode)

    def _note(self, what: str, descriptor: int) -> None:
        self.calls.append(f"{what} {Path(f'/proc/self/fd/{descriptor}').readlink().name}")

    def from_last(self, first: str) -> list[str]:
        """The calls after the last `first`."""
        return self.calls[len(self.calls) - self.calls[::-1].index(first) :]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    return Trace(monkeypatch)


def no_exchange(_one: Path, _other: Path) -> None:
    raise ExchangeUnsupported


@pytest.mark.parametrize("exists", [True, False], ids=["existing", "new"])
@pytest.mark.parametrize("swap", [exchange, no_exchange], ids=["exchange", "plain"])
def test_the_new_file_is_on_disk_before_its_name_and_the_name_before_the_outcome(
    tmp_path: Path, trace: Trace, swap: Callable[[Path, Path], None], exists: bool
) -> None:
    """Content and mode are synced under another name; after the swap, the directory."""
    path = tmp_path / "etc" / "daemon.toml"
    path.parent.mkdir()
    if exists:
        path.write_bytes(b"a = 1\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))
    file = ConfigFile(path, step=trace.calls.append, swap=swap)
    file.replace(file.read(), b"a = 2\n", path.with_name(".t"))
    prepared = trace.from_last("mode .t.part")
    assert prepared.index("sync .t.part") < prepared.index("file.temporary_named")
    swapped = trace.from_last("file.swapped")
    assert swapped.index("sync etc") < swapped.index("file.directory_synced")


def test_a_save_that_goes_back_in_is_made_durable(tmp_path: Path, trace: Trace) -> None:
    """A person's file that was taken out and put back must not be gone again after a power failure."""
    path, taken_out = tmp_path / "daemon.toml", tmp_path / ".t"
    path.write_bytes(b"ours\n")
    taken_out.write_bytes(b"theirs\n")
    ConfigFile(path).put_back(taken_out, path, {digest(b"ours\n")})
    assert path.read_bytes() == b"theirs\n"
    assert trace.calls[0] == f"sync {tmp_path.name}"


def test_a_private_file_is_synced_before_and_after_it_gets_its_name(tmp_path: Path, trace: Trace) -> None:
    """First the content, then the directory that names it."""
    write_private(tmp_path / "credentials.json", b"{}")
    mode, content, directory = trace.calls
    assert mode.startswith("mode .credentials.json.")
    assert content == mode.replace("mode ", "sync ")
    assert directory == f"sync {tmp_path.name}"


def test_the_control_token_is_synced_before_and_after_it_gets_its_name(tmp_path: Path, trace: Trace) -> None:
    """A token that is half written after a power failure would keep the daemon from starting."""
    load_or_create(tmp_path / "control-token")
    content, directory = trace.calls
    assert content.startswith("sync .control-token.")
    assert directory == f"sync {tmp_path.name}"


def test_a_new_journal_is_named_durably(tmp_path: Path, trace: Trace) -> None:
    """SQLite syncs what is in the file; that the directory names it is for whoever made it."""
    (tmp_path / "state").mkdir()
    Journal.open(tmp_path / "state" / "journal.db", NOW).close()
    assert trace.calls == ["sync state"]
