"""The journal: once in, once settled, told until it is heard."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.ailing import Ailing

from donmai_daemon.errors import AlreadyRunning, JournalUnavailable
from donmai_daemon.model.mutation import Ack, MutationRequest, Verdict
from donmai_daemon.model.wire import HostStatus
from donmai_daemon.store.database import Database, JournalTooNew, damaged_files
from donmai_daemon.store.journal import AcceptedBeat, Journal
from donmai_daemon.store.lock import StateLock
from donmai_daemon.store.sql import queries

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


def request(identifier: str, op: str = "project.add") -> MutationRequest:
    return MutationRequest(identifier, op, {"id": identifier}, None, "admin")


def beat(
    *ids: str, acks: tuple[Ack, ...] = (), host_status: HostStatus | None = None, seq: int = 1
) -> AcceptedBeat:
    mutations = tuple((request(identifier), "config") for identifier in ids)
    return AcceptedBeat("wkr_1", "digest", seq, None, host_status, acks, mutations)  # type: ignore[arg-type] # literal lane


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal.open(tmp_path / "journal.sqlite3", NOW)) as journal:
        yield journal


def test_delivery_counts_once(journal: Journal) -> None:
    """A mutation that is delivered three times is in the inbox once, in first-seen order."""
    assert journal.accept(beat("b", "a"), NOW) == ["b", "a"]
    assert journal.accept(beat("a", "b", "c"), NOW) == ["c"]
    assert [record.request.id for record in journal.pending("config")] == ["b", "a", "c"]
    assert journal.acks(10) == [], "what has not ended is not told to have ended"


def test_ack_stays_until_a_beat_that_carried_it_is_accepted(journal: Journal) -> None:
    """An outcome is told with every beat until one that carried it is accepted, and not longer."""
    journal.accept(beat("a"), NOW)
    journal.settle([Verdict("a", "applied", changed=True)], NOW)
    assert journal.acks(10) == [Ack("a", None, fresh=True)]
    journal.accept(beat(), NOW)
    assert journal.acks(10) == [Ack("a", None, fresh=True)]
    journal.accept(beat(acks=(Ack("a", None),)), NOW)
    assert journal.acks(10) == []


def test_redelivery_of_a_settled_id_asks_for_its_original_ack(journal: Journal) -> None:
    """A settled mutation that comes again is never pending again; its first outcome is told again, not as fresh."""
    journal.accept(beat("a"), NOW)
    journal.settle([Verdict("a", "failed", error="no")], NOW)
    journal.accept(beat("a", acks=(Ack("a", "no"),)), NOW)
    assert journal.pending("config") == []
    assert journal.acks(10) == [Ack("a", "no", fresh=False)]


def test_an_outcome_keeps_the_time_it_was_first_told(journal: Journal) -> None:
    """A second telling, asked for by a redelivery, does not move it."""
    journal.accept(beat("a"), NOW)
    journal.settle([Verdict("a", "applied")], NOW)
    for told in (NOW + timedelta(seconds=1), NOW + timedelta(seconds=9)):
        journal.accept(beat("a", acks=(Ack("a", None),)), told)
    record = journal.find("a")
    assert record is not None
    assert record.acked_at == "2026-11-24T06:00:01.000Z"


def test_redelivery_does_not_age_a_fresh_ack(journal: Journal) -> None:
    """A redelivery while the ack still waits leaves it fresh."""
    journal.accept(beat("a"), NOW)
    journal.settle([Verdict("a", "applied")], NOW)
    journal.accept(beat("a"), NOW)
    assert journal.acks(10) == [Ack("a", None, fresh=True)]
    assert journal.counts().fresh == 1


def test_fresh_acks_go_first(journal: Journal) -> None:
    """Acks that were never delivered are sent before those that are asked for again."""
    journal.accept(beat("old"), NOW)
    journal.settle([Verdict("old", "applied")], NOW)
    journal.accept(beat("old", "new", acks=(Ack("old", None),)), NOW)
    journal.settle([Verdict("new", "applied")], NOW)
    assert [ack.id for ack in journal.acks(10)] == ["new", "old"]
    assert [ack.id for ack in journal.acks(1)] == ["new"]


def test_outcome_is_written_once(journal: Journal) -> None:
    """A second verdict for a settled mutation changes nothing."""
    journal.accept(beat("a"), NOW)
    journal.settle([Verdict("a", "applied")], NOW)
    journal.settle([Verdict("a", "failed", error="late")], NOW)
    record = journal.find("a")
    assert record is not None
    assert (record.outcome, record.error) == ("applied", None)


def test_plan_settles_its_members_as_planned(journal: Journal, tmp_path: Path) -> None:
    """Settling a plan gives every member the outcome that was written down before the file was touched."""
    journal.accept(beat("a", "b"), NOW)
    verdicts = [Verdict("a", "applied", changed=True, diff="+x"), Verdict("b", "failed", error="no")]
    plan = journal.plan(tmp_path / "f", tmp_path / "t", "d0", "d1", verdicts, NOW)
    assert journal.plans("planned") == [plan]
    assert len(journal.pending("config")) == 2
    journal.settle_plan(plan, NOW, keep=True)
    assert journal.pending("config") == []
    assert journal.acks(10) == [Ack("a", None), Ack("b", "no")]
    assert (journal.plans("planned"), journal.plans("kept")) == ([], [plan])


def test_dropped_plan_leaves_its_members_pending(journal: Journal, tmp_path: Path) -> None:
    """A replacement that did not happen leaves its mutations as they were."""
    journal.accept(beat("a"), NOW)
    plan = journal.plan(tmp_path / "f", tmp_path / "t", "d0", "d1", [Verdict("a", "applied")], NOW)
    journal.drop_plan(plan)
    assert [record.request.id for record in journal.pending("config")] == ["a"]
    assert journal.plans("planned") == []


def test_local_changes_are_never_acked(journal: Journal) -> None:
    """A local change is settled like a remote one, and the platform hears nothing of it."""
    journal.submit(MutationRequest("loc_1", "project.add", {}, None, "me", "local"), "config", NOW)
    journal.settle([Verdict("loc_1", "applied")], NOW)
    assert journal.acks(10) == []
    assert journal.accept(beat("loc_1"), NOW) == []
    assert journal.acks(10) == []


def test_resubmitting_twice_queues_once(journal: Journal, tmp_path: Path) -> None:
    """What a late save undid is queued again under ids that make a second attempt harmless."""
    journal.accept(beat("a", "b"), NOW)
    verdicts = [Verdict("a", "applied", changed=True), Verdict("b", "applied", changed=False)]
    plan = journal.plan(tmp_path / "f", tmp_path / "t", "d0", "d1", verdicts, NOW)
    journal.settle_plan(plan, NOW, keep=True)
    journal.resubmit_since(plan, "abc", NOW)
    journal.resubmit_since(plan, "abc", NOW)
    assert [record.request.id for record in journal.pending("config")] == ["loc_redo_abc_a"]


def test_what_was_applied_later_is_queued_again_too(journal: Journal, tmp_path: Path) -> None:
    """The late save knows nothing of any change since the swap that took its file out."""
    journal.accept(beat("a", "b"), NOW)
    first, second = (
        journal.plan(tmp_path / "f", tmp_path / name, "d0", "d1", [Verdict(name, "applied", changed=True)], NOW)
        for name in ("a", "b")
    )
    journal.settle_plan(first, NOW, keep=True)
    journal.settle_plan(second, NOW, keep=True)
    journal.resubmit_since(second, "late", NOW)
    assert [record.request.id for record in journal.pending("config")] == ["loc_redo_late_b"]
    journal.resubmit_since(first, "early", NOW)
    assert [record.request.id for record in journal.pending("config")][1:] == [
        "loc_redo_early_a",
        "loc_redo_early_b",
    ]


def test_the_newest_keep_their_details_and_all_their_ids(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that grows for years forgets what the old ones were, and never that they were."""
    monkeypatch.setattr("donmai_daemon.store.journal.KEEP_DETAILS", 2)
    names = ["a", "b", "c", "d"]
    journal.accept(beat(*names), NOW)
    journal.settle([Verdict(name, "applied", changed=True, diff="+x") for name in names], NOW)
    kept = {record.request.id: (record.diff, record.request.params) for record in journal.recent(None, 9)}
    assert kept == {"a": (None, {}), "b": (None, {}), "c": ("+x", {"id": "c"}), "d": ("+x", {"id": "d"})}
    assert journal.accept(beat(*names), NOW) == []


def test_host_status_survives_and_unknown_changes_nothing(tmp_path: Path) -> None:
    """The last known host status is there after a restart; a value nobody knows leaves it alone."""
    path = tmp_path / "journal.sqlite3"
    journal = Journal.open(path, NOW)
    assert journal.host_status() is None
    journal.accept(beat(host_status=HostStatus("pool_paused", "wait", ("p1",))), NOW)
    journal.accept(beat(host_status=HostStatus("sunny")), NOW)
    journal.close()
    journal = Journal.open(path, NOW)
    assert journal.host_status() == HostStatus("pool_paused", "wait", ("p1",))
    assert journal.accepted_beat()["workerId"] == "wkr_1"
    journal.close()


def test_accept_is_all_or_nothing(tmp_path: Path) -> None:
    """When the transaction of an accepted beat fails, neither acks nor mutations nor the sequence moved."""
    path = tmp_path / "journal.sqlite3"
    journal = Journal.open(path, NOW)
    journal.accept(beat("a"), NOW)
    journal.settle([Verdict("a", "applied")], NOW)
    journal.close()

    def fail(step: str) -> None:
        if step == "journal.accept.commit":
            raise sqlite3.OperationalError("disk I/O error")

    failing = Journal.open(path, NOW, fail)
    with pytest.raises(JournalUnavailable, match="I/O"):
        failing.accept(beat("b", acks=(Ack("a", None),), seq=9), NOW)
    assert failing.acks(10) == [Ack("a", None)]
    assert failing.find("b") is None
    assert failing.last_seq() == 1
    failing.close()


def test_a_transaction_that_cannot_be_taken_back_stays_the_only_one(tmp_path: Path) -> None:
    """Its beat is not accepted; the next one is, as soon as the disk is well, and nothing of the first is in it."""
    path = tmp_path / "journal.sqlite3"
    Journal.open(path, NOW).close()
    connection = sqlite3.connect(path, isolation_level=None, factory=Ailing)
    connection.row_factory = sqlite3.Row
    journal = Journal(Database(connection))
    with pytest.raises(JournalUnavailable, match="I/O"):
        journal.accept(beat("a"), NOW)
    journal.accept(beat("b"), NOW)
    assert journal.find("a") is None
    assert journal.find("b") is not None
    journal.close()


def test_full_disk_is_named(tmp_path: Path) -> None:
    """A journal that cannot grow says that the disk is full, and keeps what it had."""
    path = tmp_path / "journal.sqlite3"
    database = Database.open(path, NOW)
    journal = Journal(database)
    journal.accept(beat("a"), NOW)
    # The documented way to make SQLite find no room for another page.
    database._connection.execute("PRAGMA max_page_count = 1")
    many = beat(*(f"m{number}" for number in range(2000)))
    with pytest.raises(JournalUnavailable) as caught:
        journal.accept(many, NOW)
    assert caught.value.full
    assert journal.find("a") is not None
    journal.close()


def test_damaged_journal_is_set_aside_not_emptied(tmp_path: Path) -> None:
    """A journal that is no database is kept under another name, and a new one begins."""
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"this is not a database, " * 100)
    journal = Journal.open(path, NOW)
    assert journal.counts().pending == 0
    (aside,) = damaged_files(path)
    assert aside.read_bytes().startswith(b"this is not")
    journal.close()


def test_truncated_journal_is_set_aside(tmp_path: Path) -> None:
    """A journal whose pages are gone is noticed at the start."""
    path = tmp_path / "journal.sqlite3"
    journal = Journal.open(path, NOW)
    journal.accept(beat(*(f"m{i}" for i in range(500))), NOW)
    journal.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)
    Journal.open(path, NOW).close()
    assert len(damaged_files(path)) == 1


def test_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A journal that a newer daemon wrote is neither used nor set aside."""
    path = tmp_path / "journal.sqlite3"
    Journal.open(path, NOW).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalTooNew):
        Journal.open(path, NOW)
    assert damaged_files(path) == []


def test_journal_is_private_and_durable(tmp_path: Path) -> None:
    """The file is 0600, and commits are synchronous: an acked mutation survives a power failure."""
    path = tmp_path / "journal.sqlite3"
    database = Database.open(path, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert database._connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert database._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    database.close()


def test_every_statement_is_valid(tmp_path: Path) -> None:
    """Every named statement compiles against the schema as migrated."""
    database = Database.open(tmp_path / "journal.sqlite3", NOW)
    for name, text in queries().items():
        plan = database._connection.execute(f"EXPLAIN {text}", _any_values(text)).fetchall()
        assert plan, name
    database.close()


def _any_values(text: str) -> dict[str, str]:
    import re

    return dict.fromkeys(re.findall(r":(\w+)", text), "")


def test_one_daemon_a_state_directory(tmp_path: Path) -> None:
    """A second lock on the same directory is refused with the holder's process id; after a release it is given."""
    (tmp_path / "daemon.lock").write_text("123456789 of a killed one\n")
    first = StateLock.acquire(tmp_path / "daemon.lock")
    with pytest.raises(AlreadyRunning, match=rf"another daemon \(pid {os.getpid()}\) uses"):
        StateLock.acquire(tmp_path / "daemon.lock")
    first.release()
    StateLock.acquire(tmp_path / "daemon.lock").release()
