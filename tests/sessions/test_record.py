"""Records: what is on disk is what comes back, private, and damage stays where it is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from donmai_daemon.sessions.processes import ProcessId
from donmai_daemon.sessions.record import KEPT, RecordStore, SessionRecord

STAMP = "2026-11-24T06:00:00.000Z"
WHOLE = SessionRecord(
    session_id="ses_1", state="running", accepted_at=STAMP, origin="local", worker_id="wkr_1", claim_id="c1",
    project_id="alpha", interactive=True, mark="m", token_digest="d" * 64, process=ProcessId(7, 9), boot="b",
    outcome="failed", exit_code=-9, reason="r", error="e", ended_at=STAMP, detail={"prompt": "p"},
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(tmp_path / "records")
    assert store.load() == []
    return store


def test_a_record_comes_back_as_it_was(store: RecordStore) -> None:
    """Every field survives a restart."""
    store.save(WHOLE)
    assert store.load() == [WHOLE]
    store.forget("ses_1")
    assert store.load() == []


def test_records_are_private(store: RecordStore) -> None:
    """A record holds prompts and digests: mode 0600 in a directory of mode 0700."""
    store.save(WHOLE)
    assert stat.S_IMODE((store.directory / "ses_1.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"session_id": "x"}', b"\xff"])
def test_a_damaged_record_is_set_aside(store: RecordStore, damage: bytes) -> None:
    """One that cannot be read is kept under another name, and the others are read."""
    store.save(WHOLE)
    (store.directory / "ses_2.json").write_bytes(damage)
    assert store.load() == [WHOLE]
    assert (store.directory / "ses_2.unreadable").read_bytes() == damage


def test_a_strange_name_stays_in_the_directory(store: RecordStore, tmp_path: Path) -> None:
    """A refused item may be called anything; its file is called by a digest."""
    store.save(SessionRecord(session_id="../../evil\n", state="refused", accepted_at=STAMP))
    assert [record.session_id for record in store.load()] == ["../../evil\n"]
    assert {path.name for path in tmp_path.iterdir()} == {"records"}


def test_only_the_newest_are_remembered(store: RecordStore) -> None:
    """Reported sessions beyond the limit are forgotten, the oldest first."""
    records = [
        SessionRecord(session_id=f"s{number}", state="reported", accepted_at=STAMP, ended_at=f"{number:06}")
        for number in range(KEPT + 3)
    ]
    for record in records:
        store.save(record)
    assert store.prune(records) == records[:3]
    assert len(store.load()) == KEPT
