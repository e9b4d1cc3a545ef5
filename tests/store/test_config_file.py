"""The configuration file against a person who saves at the worst moments."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from donmai_daemon.errors import ConfigUnwritable
from donmai_daemon.store.config_file import ABSENT, ChangedUnderneath, ConfigFile, FileRead, digest, read_digest
from donmai_daemon.store.exchange import ExchangeUnsupported, exchange
from donmai_daemon.store.metadata import reproduce

OLD = b"# mine\n[machine]\nname = 'a'\n"
NEW = OLD + b"\n[projects.x]\nrepositories = []\n"
PERSON = b"# a person was here\n" + OLD


def no_exchange(_one: Path, _other: Path) -> None:
    raise ExchangeUnsupported


SWAPS: dict[str, Callable[[Path, Path], None]] = {"exchange": exchange, "plain": no_exchange}


@pytest.fixture(params=list(SWAPS))
def swap(request: pytest.FixtureRequest) -> Callable[[Path, Path], None]:
    """Both ways to swap: with and without the kernel's exchange."""
    return SWAPS[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "daemon.toml"
    path.parent.mkdir()
    path.write_bytes(OLD)
    age(path)
    return path


def age(path: Path) -> None:
    """Make the last change old enough that no reader waits for it to settle."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def save_by_rename(path: Path, data: bytes) -> None:
    other = path.with_name("editor.swp")
    other.write_bytes(data)
    other.replace(path)
    age(path)


def save_in_place(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.truncate()
        file.write(data)
    age(path)


SAVES = {"rename": save_by_rename, "in place": save_in_place}


def leftovers(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p != path)


def at(name: str, action: Callable[[], None]) -> Callable[[str], None]:
    """A step function that does `action` once, at the step called `name`."""
    done: list[str] = []

    def step(step: str) -> None:
        if step == name and not done:
            done.append(step)
            action()

    return step


def test_replace_keeps_mode_and_leaves_the_old_file_beside(path: Path, swap: Callable[[Path, Path], None]) -> None:
    """A replacement puts the new bytes in place with the old mode, and keeps the old file under the temporary name."""
    path.chmod(0o640)
    file = ConfigFile(path, swap=swap)
    temporary = path.with_name(".t")
    written = file.replace(file.read(), NEW, temporary)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert temporary.read_bytes() == OLD
    assert written.digest == digest(NEW)
    assert leftovers(path) == [".t"]


def test_replace_goes_through_a_symlink(path: Path, tmp_path: Path, swap: Callable[[Path, Path], None]) -> None:
    """A symlinked configuration stays a symlink; its target is replaced, with the temporary file beside the target."""
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    file = ConfigFile(link, swap=swap)
    read = file.read()
    assert read.target == path
    file.replace(read, NEW, read.target.with_name(".t"))
    assert link.is_symlink()
    assert path.read_bytes() == NEW


def test_a_symlink_that_leads_elsewhere_meanwhile_is_seen(path: Path, tmp_path: Path) -> None:
    """Also where the other file says the same: what was written to the first would be in effect nowhere."""
    other, link = path.with_name("other.toml"), tmp_path / "link.toml"
    other.write_bytes(OLD)
    link.symlink_to(path)

    def repoint() -> None:
        link.unlink()
        link.symlink_to(other)

    file = ConfigFile(link, step=at("file.temporary_named", repoint))
    with pytest.raises(ChangedUnderneath):
        file.replace(file.read(), NEW, path.with_name(".t"))
    assert (path.read_bytes(), other.read_bytes()) == (OLD, OLD)


def test_create_never_replaces_a_file_that_appeared(tmp_path: Path) -> None:
    """Where there was no file and a person makes one before ours is in place, theirs stands."""
    path = tmp_path / "daemon.toml"
    file = ConfigFile(path, step=at("file.compared", lambda: save_by_rename(path, PERSON)))
    read = file.read()
    assert read.digest == ABSENT
    with pytest.raises(ChangedUnderneath):
        file.replace(read, NEW, path.with_name(".t"))
    assert path.read_bytes() == PERSON


def test_create_makes_the_file_private(tmp_path: Path) -> None:
    """A configuration that did not exist is created with mode 0600 and nothing is left beside it."""
    path = tmp_path / "new" / "daemon.toml"
    file = ConfigFile(path)
    file.replace(file.read(), NEW, path.with_name(".t"))
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert leftovers(path) == []


@pytest.mark.parametrize("save", list(SAVES))
@pytest.mark.parametrize("moment", ["file.part_written", "file.temporary_named"])
def test_save_before_the_comparison_is_seen(
    path: Path, swap: Callable[[Path, Path], None], save: str, moment: str
) -> None:
    """A person's save before the comparison stops the replacement, and nothing of ours is left."""
    file = ConfigFile(path, swap=swap, step=at(moment, lambda: SAVES[save](path, PERSON)))
    with pytest.raises(ChangedUnderneath):
        file.replace(file.read(), NEW, path.with_name(".t"))
    assert path.read_bytes() == PERSON
    assert leftovers(path) == []


@pytest.mark.parametrize("save", list(SAVES))
def test_save_between_comparison_and_swap_survives(path: Path, save: str) -> None:
    """A save in the instant before the swap is swapped back in."""
    file = ConfigFile(path, step=at("file.compared", lambda: SAVES[save](path, PERSON)))
    with pytest.raises(ChangedUnderneath):
        file.replace(file.read(), NEW, path.with_name(".t"))
    assert path.read_bytes() == PERSON
    assert leftovers(path) == []


@pytest.mark.parametrize(
    ("save", "moment"), [("in place", "file.compared"), ("rename", "file.compared"), ("in place", "file.linked")]
)
def test_save_before_a_plain_rename_survives(path: Path, save: str, moment: str) -> None:
    """Without an exchange, a save before the link is still seen and put back, and one in place until the rename."""
    file = ConfigFile(path, swap=no_exchange, step=at(moment, lambda: SAVES[save](path, PERSON)))
    with pytest.raises(ChangedUnderneath):
        file.replace(file.read(), NEW, path.with_name(".t"))
    assert path.read_bytes() == PERSON
    assert leftovers(path) == []


def test_newest_of_two_saves_wins(path: Path) -> None:
    """When a person saves again while the first save is being put back, the newer save is what stays."""
    newest = PERSON + b"# twice\n"
    saves = iter([PERSON, newest])
    swaps: list[Path] = []

    def person_swap(one: Path, other: Path) -> None:
        save = next(saves, None)  # before the first swap, and before the one that puts the first save back
        if save is not None:
            save_by_rename(path, save)
        swaps.append(one)
        exchange(one, other)

    file = ConfigFile(path, swap=person_swap)
    with pytest.raises(ChangedUnderneath):
        file.replace(file.read(), NEW, path.with_name(".t"))
    assert path.read_bytes() == newest
    assert len(swaps) == 3


def test_hard_links_are_refused(path: Path) -> None:
    """A file with a second hard link is not replaced, and the error says so."""
    os.link(path, path.with_name("other.toml"))
    file = ConfigFile(path)
    with pytest.raises(ConfigUnwritable, match="hard links"):
        file.replace(file.read(), NEW, path.with_name(".t"))
    assert path.read_bytes() == OLD


def test_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """Something that is no regular file cannot be read as a configuration."""
    path = tmp_path / "daemon.toml"
    path.mkdir()
    with pytest.raises(ConfigUnwritable, match="cannot be read"):
        ConfigFile(path).read()


@pytest.mark.parametrize(
    ("number", "full"), [(errno.EBUSY, False), (errno.ENOSPC, True), (errno.EROFS, False), (errno.EIO, False)]
)
def test_swap_errors_leave_everything_as_it_was(path: Path, number: int, full: bool) -> None:
    """An error of the swap itself becomes a reason to wait, and the directory is as before."""

    def broken(_one: Path, _other: Path) -> None:
        raise OSError(number, os.strerror(number))

    file = ConfigFile(path, swap=broken)
    temporary = path.with_name(".t")
    with pytest.raises(ConfigUnwritable) as caught:
        file.replace(file.read(), NEW, temporary)
    assert caught.value.full is full
    assert path.read_bytes() == OLD
    assert read_digest(path) == digest(OLD)


def test_read_waits_for_a_save_to_finish(tmp_path: Path) -> None:
    """A file that was truncated a moment ago is read again one debounce later, when the save is complete."""
    path = tmp_path / "daemon.toml"
    path.write_bytes(b"")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            path.write_bytes(PERSON)
        else:
            age(path)

    read = ConfigFile(path, wait=wait).read()
    assert read.data == PERSON
    assert waits


def test_own_write_is_read_without_waiting(path: Path) -> None:
    """What we wrote ourselves is complete, so the next read does not wait for it to settle."""

    def never(_seconds: float) -> None:
        raise AssertionError("waited for its own write")

    file = ConfigFile(path, wait=never)
    file.replace(file.read(), NEW, path.with_name(".t"))
    assert file.read().data == NEW


def test_a_file_that_is_saved_again_with_the_same_bytes_does_not_stand_still(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inode, size and time have to be the same a moment later, not the content alone: the next write may differ."""
    now = 2_000_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    os.utime(path, (now, now))
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            os.utime(path, (now - 0.1, now - 0.1))

    ConfigFile(path, wait=wait).read()
    assert waits == [pytest.approx(0.25), pytest.approx(0.15)]


def test_a_file_from_the_future_is_read_at_once(path: Path) -> None:
    """Its time says nothing about a save that is under way, and waiting until then would be for ever."""
    waits: list[float] = []
    os.utime(path, (4_000_000_000, 4_000_000_000))
    assert ConfigFile(path, wait=waits.append).read().data == OLD
    assert waits == []


def test_a_save_into_our_own_file_is_waited_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place and of the same length: only the time of the change tells it from what we wrote."""
    now = 2_000_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    waits: list[float] = []
    file = ConfigFile(path, wait=waits.append)
    file.replace(file.read(), NEW, path.with_name(".t"))
    file.read()
    assert waits == []
    with path.open("r+b") as editor:
        editor.write(NEW.replace(b"'a'", b"'b'"))
    os.utime(path, (now - 0.1, now - 0.1))
    assert file.read().data == NEW.replace(b"'a'", b"'b'")
    assert waits == [pytest.approx(0.15)]


def test_file_that_never_stands_still_is_an_error_not_a_loop(tmp_path: Path) -> None:
    """A file that is written to all the time makes the read give up with a reason."""
    path = tmp_path / "daemon.toml"
    count = iter(range(1000))
    path.write_bytes(b"")

    def wait(_seconds: float) -> None:
        path.write_bytes(f"# {next(count)}\n".encode())

    with pytest.raises(ConfigUnwritable, match="all the time"):
        ConfigFile(path, wait=wait).read()


def test_extended_attributes_are_kept(path: Path, swap: Callable[[Path, Path], None]) -> None:
    """Extended attributes of the file are those of the replacement, too."""
    os.setxattr(path, "user.note", b"mine")
    file = ConfigFile(path, swap=swap)
    file.replace(file.read(), NEW, path.with_name(".t"))
    assert os.getxattr(path, "user.note") == b"mine"


def test_attributes_that_the_directory_gave_are_not_kept(path: Path) -> None:
    """A default list of the directory must not open the replacement to people who could not read the file."""
    other = path.with_name("other")
    other.write_bytes(NEW)
    os.setxattr(other, "user.inherited", b"theirs")
    with other.open("r+b") as file:
        reproduce(file.fileno(), path, path.stat())
    assert os.listxattr(other) == os.listxattr(path)


def test_settle_names_finishes_a_plain_rename(path: Path) -> None:
    """After a crash between link and rename, or after the rename, the old file is found under the temporary name."""
    temporary = path.with_name(".t")
    old = path.with_name(".t.old")
    file = ConfigFile(path)
    os.link(path, old)
    temporary.write_bytes(NEW)
    file.settle_names(temporary)
    assert (read_digest(temporary), old.exists()) == (digest(NEW), False)
    os.link(path, old)
    temporary.rename(path)
    file.settle_names(temporary)
    assert (read_digest(temporary), old.exists()) == (digest(OLD), False)


def test_reads_say_what_they_read(path: Path) -> None:
    """A reading carries the resolved target, the bytes and their digest."""
    read = ConfigFile(path).read()
    assert read == FileRead(path, OLD, digest(OLD), path.stat())
