"""From the inbox to the file, with power failing after every line and a person saving at every moment."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from donmai_daemon.errors import ConfigInvalid, ConfigUnwritable, JournalUnavailable
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.mutation import MutationRequest
from donmai_daemon.ops import registry
from donmai_daemon.runtime.applier import Applied, Applier
from donmai_daemon.runtime.configuration import Configuration
from donmai_daemon.runtime.verdicts import lane_of
from donmai_daemon.settings import load
from donmai_daemon.store.config_file import ConfigFile, digest
from donmai_daemon.store.exchange import exchange
from donmai_daemon.store.journal import AcceptedBeat, Journal

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
START = b"# mine, do not touch\n[machine]\nname = 'a'   # the old one\n"
PERSON = START + b"region = 'eu'\n"


class Machine:
    """A configuration file and a journal on a real disk, and whoever opens them after a start."""

    def __init__(self, directory: Path, content: bytes | None = START) -> None:
        self.directory = directory
        self.path = directory / "daemon.toml"
        if content is not None:
            self.save(content)
        self.numbers = itertools.count()
        self.opened: list[Journal] = []
        self.environ: dict[str, str] = {}

    def save(self, data: bytes) -> None:
        """A person saves by renaming a new file over the old one."""
        other = self.path.with_name("editor")
        other.write_bytes(data)
        os.utime(other, (1_000_000_000 + len(data), 1_000_000_000))
        other.replace(self.path)

    def start(
        self, step: Callable[[str], None] = lambda _name: None, swap: Callable[[Path, Path], None] = exchange
    ) -> Applier:
        """A fresh start: open everything, recover."""
        self.journal = Journal.open(self.directory / "journal.db", NOW, step)
        self.opened.append(self.journal)
        file = ConfigFile(self.path, step=step, swap=swap, wait=lambda _seconds: None)
        configuration = Configuration(
            file,
            self.directory / "last-good.toml",
            lambda document, previous: load(document, self.environ, previous),
        )
        applier = Applier(self.journal, configuration, lambda: NOW, lambda: f"{next(self.numbers):08}", step)
        applier.recover()
        return applier

    def deliver(self, *mutations: tuple[str, str, JsonObject]) -> None:
        requests = [MutationRequest(i, op, params, None, "admin") for i, op, params in mutations]
        self.journal.accept(AcceptedBeat("wkr", "d", 1, None, None, (), [(r, lane_of(r)) for r in requests]), NOW)

    def outcomes(self) -> dict[str, str | None]:
        return {r.request.id: r.error or r.outcome for r in reversed(self.journal.recent(None, 100))}

    def leftovers(self) -> list[str]:
        known = {"daemon.toml", "journal.db", "journal.db-wal", "journal.db-shm", "last-good.toml"}
        return sorted(p.name for p in self.directory.iterdir() if p.name not in known)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for journal in machine.opened:
        journal.close()


def add(identifier: str, project: str) -> tuple[str, str, JsonObject]:
    return identifier, "project.add", {"id": project, "repository": f"https://git.test/{project}"}


def remove(identifier: str, project: str) -> tuple[str, str, JsonObject]:
    return identifier, "project.remove", {"id": project}


def test_batch_is_one_commit_and_every_mutation_has_its_own_outcome(machine: Machine) -> None:
    """Good, bad, unknown and idle mutations of one beat are settled apart, with one replacement of the file."""
    swaps: list[Path] = []

    def counting(one: Path, other: Path) -> None:
        swaps.append(other)
        exchange(one, other)

    applier = machine.start(swap=counting)
    machine.deliver(
        add("m1", "a"),
        ("m2", "project.add", {"id": "b"}),
        add("m3", "a"),
        ("m4", "project.remove", {"id": "nobody"}),
        add("m5", "c"),
    )
    applied = applier.run()
    assert applied.settled == 5
    assert len(swaps) == 1
    outcomes = machine.outcomes()
    assert (outcomes["m1"], outcomes["m3"], outcomes["m4"], outcomes["m5"]) == ("applied",) * 4
    assert "repository" in (outcomes["m2"] or "")
    assert machine.path.read_bytes().startswith(START)
    assert set(applied.current.config.projects if applied.current else ()) == {"a", "c"}


def test_no_op_does_not_touch_the_file(machine: Machine) -> None:
    """A mutation that changes nothing leaves inode and modification time alone, and is applied."""
    applier = machine.start()
    before = machine.path.stat()
    machine.deliver(remove("m1", "nobody"))
    applier.run()
    after = machine.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert machine.outcomes() == {"m1": "applied"}


def test_add_and_remove_in_one_batch_write_nothing(machine: Machine) -> None:
    """A batch that ends where it began is settled without a replacement."""
    applier = machine.start()
    before = machine.path.stat().st_ino
    machine.deliver(add("m1", "a"), remove("m2", "a"))
    applier.run()
    assert machine.path.stat().st_ino == before
    assert machine.outcomes() == {"m1": "applied", "m2": "applied"}


def test_what_the_environment_says_is_never_written(machine: Machine) -> None:
    """Secrets and overrides are in effect, and in neither the file nor the copy that is kept of it."""
    machine.environ = {
        "DONMAI_DAEMON_TOKEN": "rsk_live_secret",
        "DONMAI_PLATFORM__PROXY": "http://me:secret@proxy.test:3128",
        "DONMAI_CAPACITY__MAX_SESSIONS": "3",
    }
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    current = applier.run().current
    assert current is not None
    assert current.config.capacity.max_sessions == 3
    wanted = START + b'\n[projects.a]\nrepositories = ["https://git.test/a"]\n'
    assert machine.path.read_bytes() == wanted
    assert (machine.directory / "last-good.toml").read_bytes() == wanted


def test_history_tells_what_each_one_did(machine: Machine) -> None:
    """The diff of a mutation shows its own lines, not those of the batch."""
    applier = machine.start()
    machine.deliver(add("m1", "a"), add("m2", "b"))
    applier.run()
    first, second = machine.journal.find("m1"), machine.journal.find("m2")
    assert first is not None
    assert second is not None
    assert "+[projects.a]" in (first.diff or "")
    assert "projects.b" not in (first.diff or "")
    assert "+[projects.b]" in (second.diff or "")


def test_denied_operations_fail_with_the_owners_word(machine: Machine) -> None:
    """What the machine's owner denies is settled as failed, and local changes are not asked about."""
    machine.save(START + b'[remote]\nops = { "project.add" = "deny" }\n')
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    machine.journal.submit(
        MutationRequest("loc_1", "project.add", add("", "b")[2], None, "me", "local"), "config", NOW
    )
    applier.run()
    assert machine.outcomes() == {"m1": "denied by the machine owner", "loc_1": "applied"}


def test_local_only_operations_are_unsupported_from_the_platform(machine: Machine) -> None:
    """capacity.set is for this machine's owner; the platform hears that it is not supported."""
    applier = machine.start()
    machine.deliver(("m1", "capacity.set", {"key": "max_sessions", "value": 2}))
    applier.run()
    assert machine.outcomes() == {"m1": 'unsupported mutation op "capacity.set" (upgrade daemon?)'}


def test_fault_in_a_handler_fails_that_mutation_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception settles its own mutation as an internal error; the queue goes on."""
    real = registry.operation

    def broken(name: str) -> object:
        if name == "project.enable":
            raise ZeroDivisionError(f"secret path {machine.path}")
        return real(name)

    monkeypatch.setattr("donmai_daemon.runtime.verdicts.operation", broken)
    applier = machine.start()
    machine.journal.accept(
        AcceptedBeat(
            "wkr", "d", 1, None, None, (),
            [
                (MutationRequest("m1", "project.enable", {"id": "x"}, None, None), "config"),
                (MutationRequest(*add("m2", "a"), None, None), "config"),
            ],
        ),
        NOW,
    )  # fmt: skip
    applied = applier.run()
    assert machine.outcomes() == {"m1": "internal error", "m2": "applied"}
    assert applied.internal_errors == ("m1",)


def test_broken_file_parks_and_a_repaired_one_applies(machine: Machine) -> None:
    """While the file does not parse, mutations wait with a reason; once it is good they are applied to it."""
    applier = machine.start()
    machine.save(b"[machine\nname = 1\n")
    machine.deliver(add("m1", "a"))
    applied = applier.run()
    assert isinstance(applied.problem, ConfigInvalid)
    assert applied.problem.line == 1
    assert applied.waiting == 1
    assert machine.path.read_bytes() == b"[machine\nname = 1\n"
    machine.save(PERSON)
    assert applier.run().settled == 1
    assert machine.path.read_bytes().startswith(PERSON)


def test_vanished_file_parks(machine: Machine) -> None:
    """A file that was there and is gone is not taken for an empty one."""
    applier = machine.start()
    applier.run()
    machine.path.unlink()
    machine.deliver(add("m1", "a"))
    applied = applier.run()
    assert isinstance(applied.problem, ConfigInvalid)
    assert not machine.path.exists()


def test_missing_file_is_created_by_the_first_change(tmp_path: Path) -> None:
    """Without a configuration, the first mutation makes one."""
    machine = Machine(tmp_path, content=None)
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    applied = applier.run()
    machine.journal.close()
    assert applied.settled == 1
    assert machine.path.read_text().startswith("[projects.a]\n")


def test_full_disk_parks_and_memory_does_not_run_ahead(machine: Machine) -> None:
    """When the file cannot be written, nothing is settled and the configuration in effect is the old one."""
    failures = [OSError(errno.ENOSPC, "no space")]

    def failing(one: Path, other: Path) -> None:
        if failures:
            raise failures.pop()
        exchange(one, other)

    applier = machine.start(swap=failing)
    machine.deliver(add("m1", "a"))
    applied = applier.run()
    assert isinstance(applied.problem, ConfigUnwritable)
    assert applied.problem.full
    assert applied.current is None
    assert machine.outcomes() == {"m1": None}
    assert machine.leftovers() == []
    again = applier.run()
    assert again.settled == 1
    assert again.current is not None
    assert "a" in again.current.config.projects


def steps_of_one_change(directory: Path, content: bytes | None = START) -> list[str]:
    """Every step between a delivery and the second look, in order, with repetitions."""
    directory.mkdir()
    names: list[str] = []
    machine = Machine(directory, content)
    applier = machine.start(names.append)
    names.clear()
    one_change(machine, applier)
    machine.journal.close()
    return names


def killed(when: Callable[[str], bool], directory: Path, act: Callable[[Machine, Applier], None]) -> None:
    """In a process of its own, start, `act`, and be killed (SIGKILL) at the first step for which `when` is true."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # the child of this fork takes no lock of another thread
        child = os.fork()
    if child == 0:
        try:
            armed = False

            def step(name: str) -> None:
                if armed and when(name):
                    os.kill(os.getpid(), signal.SIGKILL)

            machine = Machine(directory, None)
            applier = machine.start(step)
            armed = True
            act(machine, applier)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def at_step(index: int) -> Callable[[str], bool]:
    """True at step number `index`, from 0."""
    count = itertools.count()
    return lambda _name: next(count) == index


def one_change(machine: Machine, applier: Applier) -> None:
    """What `steps_of_one_change` lists the steps of."""
    machine.deliver(add("m1", "a"), remove("m2", "b"), add("m3", "b"))
    applier.run()
    applier.look_again()


@pytest.mark.parametrize("content", [START, None], ids=["existing file", "no file"])
def test_kill_after_any_line_loses_nothing_and_repeats_nothing(tmp_path: Path, content: bytes | None) -> None:
    """Wherever it is killed, the next start ends with the same file, one outcome each, and nothing beside the file."""
    names = steps_of_one_change(tmp_path / "dry", content)
    assert len(names) > 15
    expected = (tmp_path / "dry" / "daemon.toml").read_bytes()
    for index, name in enumerate(names):
        directory = tmp_path / str(index)
        directory.mkdir()
        Machine(directory, content)
        killed(at_step(index), directory, one_change)
        machine = Machine(directory, None)
        applier = machine.start()
        one_change(machine, applier)  # whatever was not acked comes again
        assert machine.path.read_bytes() == expected, name
        assert [record.changed for record in machine.journal.recent(None, 9)] == [True, False, True], name
        assert machine.outcomes() == {"m1": "applied", "m2": "applied", "m3": "applied"}, name
        assert machine.leftovers() == [], name
        machine.journal.close()


def test_a_save_after_a_kill_is_built_upon(tmp_path: Path) -> None:
    """Killed anywhere, and the file saved by a person before the next start: their edit and the mutations are in it."""
    names = steps_of_one_change(tmp_path / "dry")
    for index, name in enumerate(names):
        directory = tmp_path / str(index)
        directory.mkdir()
        Machine(directory)
        killed(at_step(index), directory, one_change)
        machine = Machine(directory, None)
        machine.save(machine.path.read_bytes().replace(b"name = 'a'", b"name = 'b'"))
        applier = machine.start()
        one_change(machine, applier)
        text = machine.path.read_text()
        assert "name = 'b'   # the old one" in text, name
        assert [text.count(f"[projects.{project}]") for project in "ab"] == [1, 1], name
        assert machine.outcomes() == {"m1": "applied", "m2": "applied", "m3": "applied"}, name
        machine.journal.close()


class Save:
    """A person who saves once, at step number `index` after `armed`; made from what they see, the file as it is then."""

    def __init__(self, machine: Machine, index: int) -> None:
        self.machine = machine
        self.left = index
        self.armed = False

    def __call__(self, _name: str) -> None:
        if self.armed:
            self.left -= 1
            if self.left == -1:
                self.machine.save(self.machine.path.read_bytes().replace(b"name = 'a'", b"name = 'b'"))


def test_persons_save_at_any_moment_survives_and_is_built_upon(tmp_path: Path) -> None:
    """A save by rename, at whatever step, is in the final file, and so is the mutation."""
    names = steps_of_one_change(tmp_path / "dry")
    for index in range(len(names)):
        directory = tmp_path / str(index)
        directory.mkdir()
        machine = Machine(directory)
        save = Save(machine, index)
        applier = machine.start(save)
        save.armed = True
        machine.deliver(add("m1", "a"))
        applier.run()
        applier.look_again()
        applier.run()
        text = machine.path.read_text()
        assert "name = 'b'   # the old one" in text, names[index]
        assert text.count("[projects.a]") == 1, names[index]
        assert machine.outcomes() == {"m1": "applied"}
        assert machine.leftovers() == [], names[index]
        machine.journal.close()


def test_late_save_into_the_file_that_was_taken_out_comes_back(machine: Machine) -> None:
    """An editor that had the file open across the swap saves into it: the save returns and the change is on top."""
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    with machine.path.open("r+b") as editor:
        assert applier.run().kept
        editor.write(PERSON)
        editor.flush()
        applier.look_again()
    assert machine.path.read_bytes() == PERSON
    applied = applier.run()
    assert applied.settled == 1
    assert machine.path.read_bytes().startswith(PERSON)
    assert "a" in (applied.current.config.projects if applied.current else {})
    assert machine.outcomes()["m1"] == "applied"
    applier.look_again()
    assert machine.leftovers() == []


def test_late_save_is_found_at_the_next_start(machine: Machine) -> None:
    """The second look also happens when the daemon was stopped before it."""
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    with machine.path.open("r+b") as editor:
        applier.run()
        editor.write(PERSON)
    machine.journal.close()
    applier = machine.start()
    applier.run()
    assert machine.path.read_bytes().startswith(PERSON)
    assert "[projects.a]" in machine.path.read_text()


def test_a_file_taken_out_just_before_a_kill_gets_its_second_look_in_time(machine: Machine) -> None:
    """A start settles what was replaced, and looks at the old file later: an editor may still have it open."""
    killed(lambda name: name == "applier.replaced", machine.directory, one_change)
    applier = machine.start()
    assert machine.outcomes()["m1"] == "applied"
    assert applier.keeps()
    (old,) = machine.leftovers()
    with (machine.directory / old).open("r+b") as editor:
        editor.write(PERSON)
    applier.look_again()
    applier.run()
    assert machine.path.read_bytes().startswith(PERSON)
    assert "[projects.a]" in machine.path.read_text()


@pytest.mark.parametrize("at", ["kept.resubmitted", "journal.resubmit.commit", "kept.released"])
def test_a_kill_while_a_late_save_goes_back_in_loses_neither(machine: Machine, at: str) -> None:
    """The save is in the file after the next start, and so is the mutation it knew nothing of, once."""

    def late_save(machine: Machine, applier: Applier) -> None:
        machine.deliver(add("m1", "a"))
        with machine.path.open("r+b") as editor:
            applier.run()
            editor.write(PERSON)
        applier.look_again()

    killed(lambda name: name == at, machine.directory, late_save)
    applier = machine.start()
    applier.run()
    text = machine.path.read_text()
    assert text.startswith(PERSON.decode())
    assert text.count("[projects.a]") == 1


def test_two_late_versions_are_both_kept(machine: Machine) -> None:
    """When the file was also saved by other means since, nothing is thrown away: the late save lies beside it."""
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    with machine.path.open("r+b") as editor:
        applier.run()
        editor.write(PERSON)
        editor.flush()
        newer = machine.path.read_bytes() + b"# newer\n"
        machine.save(newer)
        applier.look_again()
    assert machine.path.read_bytes() == newer
    beside = machine.directory / f"daemon.toml.saved-{digest(PERSON)[:8]}"
    assert beside.read_bytes() == PERSON


def test_preview_changes_nothing(machine: Machine) -> None:
    """A preview tells the diff and leaves file and inbox alone."""
    applier = machine.start()
    preview = applier.preview("project.add", add("", "a")[2])
    assert preview.outcome == "applied"
    assert "+[projects.a]" in (preview.diff or "")
    assert machine.path.read_bytes() == START
    assert machine.outcomes() == {}


def full_once(at: str) -> Callable[[str], None]:
    """A step function under which the journal's disk is full the first time that step is reached."""
    left = [at]

    def step(name: str) -> None:
        if name in left:
            left.remove(name)
            raise sqlite3.OperationalError("database or disk is full")

    return step


def test_an_outcome_that_could_not_be_written_is_written_by_the_next_run(machine: Machine) -> None:
    """The file was replaced and the journal full: the next run settles as planned, and says so, instead of beginning anew."""
    applier = machine.start(full_once("journal.settle_plan.commit"))
    machine.deliver(add("m1", "a"))
    assert isinstance(applier.run().problem, JournalUnavailable)
    assert machine.outcomes() == {"m1": None}
    assert applier.run().settled == 1
    record = machine.journal.find("m1")
    assert record is not None
    assert record.changed
    assert machine.journal.plans("planned") == []
    assert applier.keeps()


def test_what_an_earlier_run_did_is_not_done_again_after_a_save(machine: Machine) -> None:
    """A person takes out what was added, the instant its outcome is written: it stays out."""
    write = full_once("journal.settle_plan.commit")

    def step(name: str) -> None:
        write(name)
        if name == "journal.settle_plan.committed":
            machine.save(START)

    applier = machine.start(step)
    machine.deliver(add("m1", "a"))
    applier.run()
    assert applier.run().settled == 1
    assert machine.outcomes() == {"m1": "applied"}
    assert machine.path.read_bytes() == START


def test_the_last_good_file_is_what_was_applied(machine: Machine) -> None:
    """A start with a broken file goes by what this daemon itself has written, too."""
    applier = machine.start()
    machine.deliver(add("m1", "a"))
    applier.run()
    assert (machine.directory / "last-good.toml").read_bytes() == machine.path.read_bytes()


def test_runs_without_work_publish_the_file(machine: Machine) -> None:
    """A run with an empty inbox reads the file, so that a person's edit takes effect."""
    applier = machine.start()
    applier.run()
    machine.save(PERSON)
    applied = applier.run()
    assert isinstance(applied, Applied)
    assert applied.current is not None
    assert applied.current.config.machine.region == "eu"
