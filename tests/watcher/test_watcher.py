"""The watcher, on real files, with each way of listening there is."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from donmai_daemon.runtime.inotify import Inotify
from donmai_daemon.runtime.places import Places
from donmai_daemon.runtime.ticking import Ticking
from donmai_daemon.runtime.watcher import Listen, News, Watcher

pytestmark = pytest.mark.anyio

NEVER = 3600.0


class Reader:
    """Stands for the daemon: notes what the file holds at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = 0
        self.content: str | None = None
        self._called = anyio.Event()

    async def changed(self) -> None:
        self.calls += 1
        self.content = self.path.read_text() if self.path.exists() else None
        self._called.set()
        self._called = anyio.Event()

    async def sees(self, content: str | None) -> bool:
        with anyio.move_on_after(10):
            while self.content != content:
                await self._called.wait()
        return self.content == content

    async def called(self, times: int) -> bool:
        with anyio.move_on_after(10):
            while self.calls < times:
                await self._called.wait()
        return self.calls >= times


class Deaf:
    """Hears nothing, as on a network file system."""

    def __init__(self) -> None:
        self.unwatched: list[Path] = []

    async def burst(self) -> None:
        await anyio.sleep_forever()


@pytest.fixture(params=[Inotify.listen, Ticking.listen], ids=["inotify", "watchfiles"])
def listen(request: pytest.FixtureRequest) -> Listen:
    chosen: Listen = request.param
    return chosen


@asynccontextmanager
async def watching(path: Path, listen: Listen, poll_seconds: float = NEVER) -> AsyncIterator[Reader]:
    reader = Reader(path)
    async with anyio.create_task_group() as group:
        await group.start(Watcher(path, reader.changed, listen=listen, poll_seconds=poll_seconds).run)
        assert await reader.called(1)
        yield reader
        group.cancel_scope.cancel()


def open_inotify() -> int:
    """How many inotify instances this process has open."""
    found = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself, or one that was closed meanwhile
            found += "inotify" in str(entry.readlink())
    return found


async def no_inotify_left() -> None:
    with anyio.fail_after(10):
        while open_inotify() > 0:  # noqa: ASYNC110 - watchfiles' thread ends a moment after it was told, and tells nobody
            await anyio.sleep(0.01)


def rename_over(path: Path, content: str) -> None:
    """As most programs save."""
    temporary = path.with_name(".tmp-" + path.name)
    temporary.write_text(content)
    temporary.replace(path)


def vim_style(path: Path, content: str) -> None:
    """As vim saves with a backup: the old file steps aside, a new one is written under its name."""
    backup = path.with_name(path.name + "~")
    path.replace(backup)
    path.write_text(content)
    backup.unlink()


def in_place(path: Path, content: str) -> None:
    """As `echo >` and many editors save."""
    path.write_text(content)


@pytest.mark.parametrize("save", [rename_over, vim_style, in_place])
async def test_every_kind_of_save_is_seen_every_time(
    tmp_path: Path, listen: Listen, save: Callable[[Path, str], None]
) -> None:
    """Four saves in a row: a watch on the file itself would go blind after the first rename."""
    path = tmp_path / "daemon.toml"
    path.write_text("0")
    async with watching(path, listen) as reader:
        assert await reader.sees("0")
        for number in range(1, 5):
            save(path, str(number))
            assert await reader.sees(str(number))


async def test_a_file_that_comes_goes_and_comes_back_is_seen(tmp_path: Path, listen: Listen) -> None:
    """A missing file is watched for, and a removed one is noticed."""
    path = tmp_path / "daemon.toml"
    async with watching(path, listen) as reader:
        assert await reader.sees(None)
        path.write_text("1")
        assert await reader.sees("1")
        path.unlink()
        assert await reader.sees(None)
        path.write_text("2")
        assert await reader.sees("2")


async def test_a_directory_that_does_not_exist_yet_is_waited_for(tmp_path: Path, listen: Listen) -> None:
    """The nearest directory that exists is watched, level by level."""
    path = tmp_path / "a" / "b" / "daemon.toml"
    async with watching(path, listen) as reader:
        path.parent.parent.mkdir()
        assert await reader.called(2)
        path.parent.mkdir()
        path.write_text("1")
        assert await reader.sees("1")


async def test_a_replaced_directory_is_followed(tmp_path: Path, listen: Listen) -> None:
    """The directory is moved away and another takes its name; from then on that one counts."""
    path = tmp_path / "etc" / "daemon.toml"
    path.parent.mkdir()
    path.write_text("1")
    async with watching(path, listen) as reader:
        path.parent.rename(tmp_path / "old")
        assert await reader.sees(None)
        path.parent.mkdir()
        path.write_text("2")
        assert await reader.sees("2")


async def test_a_swap_of_kubernetes_data_is_seen(tmp_path: Path, listen: Listen) -> None:
    """`daemon.toml -> ..data/daemon.toml`, `..data -> ..v1`: only `..data` is replaced, by a rename."""
    for version in ("1", "2", "3"):
        (tmp_path / f"..v{version}").mkdir()
        (tmp_path / f"..v{version}" / "daemon.toml").write_text(version)
    (tmp_path / "..data").symlink_to("..v1")
    path = tmp_path / "daemon.toml"
    path.symlink_to("..data/daemon.toml")
    async with watching(path, listen) as reader:
        assert await reader.sees("1")
        for version in ("2", "3"):
            (tmp_path / "..data_tmp").symlink_to(f"..v{version}")
            (tmp_path / "..data_tmp").replace(tmp_path / "..data")
            assert await reader.sees(version)


@pytest.mark.parametrize("save", [rename_over, in_place])
async def test_the_target_of_a_chain_of_symlinks_is_watched(
    tmp_path: Path, listen: Listen, save: Callable[[Path, str], None]
) -> None:
    """The file lies in another directory, two links away; a change of a link on the way is seen too."""
    for name in ("etc", "links", "dotfiles", "other"):
        (tmp_path / name).mkdir()
    target = tmp_path / "dotfiles" / "real.toml"
    target.write_text("1")
    (tmp_path / "other" / "real.toml").write_text("other")
    middle = tmp_path / "links" / "middle"
    middle.symlink_to("../dotfiles/real.toml")
    path = tmp_path / "etc" / "daemon.toml"
    path.symlink_to(middle)
    async with watching(path, listen) as reader:
        assert await reader.sees("1")
        save(target, "2")
        assert await reader.sees("2")
        (tmp_path / "links" / "new").symlink_to(tmp_path / "other" / "real.toml")
        (tmp_path / "links" / "new").replace(middle)
        assert await reader.sees("other")
        save(tmp_path / "other" / "real.toml", "3")
        assert await reader.sees("3")


async def test_neighbours_do_not_matter(tmp_path: Path, listen: Listen) -> None:
    """The daemon's own journal and log may lie beside the file; their changes call nobody."""
    path = tmp_path / "daemon.toml"
    path.write_text("0")
    async with watching(path, listen) as reader:
        for number in range(20):
            (tmp_path / "daemon.log").write_text(str(number))
            rename_over(tmp_path / "credentials.json", str(number))
        rename_over(path, "1")
        assert await reader.sees("1")
        assert reader.calls == 2


async def test_a_burst_is_told_once(tmp_path: Path) -> None:
    """Changes that follow one another closely are one call, made when the last of them is there."""
    path = tmp_path / "daemon.toml"
    path.write_text("0")
    async with watching(path, Inotify.listen) as reader:
        for number in range(1, 31):
            in_place(path, str(number))
        assert await reader.sees("30")
        assert reader.calls == 2


async def test_a_change_during_the_call_is_told_again(tmp_path: Path, listen: Listen) -> None:
    """What is saved while the file is being read leads to another reading."""
    path = tmp_path / "daemon.toml"
    path.write_text("0")
    contents: list[str] = []
    done = anyio.Event()

    async def read_and_save() -> None:
        contents.append(path.read_text())
        if len(contents) < 3:
            rename_over(path, str(len(contents)))
        else:
            done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(Watcher(path, read_and_save, listen=listen, poll_seconds=NEVER).run)
        with anyio.fail_after(10):
            await done.wait()
        group.cancel_scope.cancel()
    assert contents == ["0", "1", "2"]


async def test_the_slow_round_sees_what_nobody_tells(tmp_path: Path) -> None:
    """A bind mount or a network file system tells nothing; the file is looked at all the same."""

    path = tmp_path / "daemon.toml"
    path.write_text("0")
    async with watching(path, lambda _places: nullcontext(Deaf()), poll_seconds=0.01) as reader:
        in_place(path, "1")
        assert await reader.sees("1")


async def test_a_system_without_watches_is_complained_of_once(tmp_path: Path) -> None:
    """No inotify instance left: one warning, and the slow round goes on."""

    def refuse(_places: Places) -> AbstractContextManager[News]:
        raise OSError(24, "Too many open files")

    path = tmp_path / "daemon.toml"
    with capture_logs() as events:
        async with watching(path, refuse, poll_seconds=0.01) as reader:
            assert await reader.called(4)
            path.write_text("1")
            assert await reader.sees("1")
    assert [(event["event"], event["reason"]) for event in events] == [("watcher.blind", "Too many open files")]


async def test_what_cannot_be_watched_is_named(tmp_path: Path) -> None:
    """A place that the system refuses to watch is reported, the others are watched all the same."""
    (tmp_path / "file").touch()
    places = Places({tmp_path: frozenset({"new"}), tmp_path / "file": frozenset({"x"})}, tmp_path / "gone")
    with Inotify.listen(places) as news:
        assert news.unwatched == [tmp_path / "file"]
        (tmp_path / "new").touch()
        with anyio.fail_after(10):
            await news.burst()


async def test_cancelling_ends_every_thread_and_descriptor(tmp_path: Path, listen: Listen) -> None:
    """Nothing of the watcher outlives it."""
    path = tmp_path / "daemon.toml"
    path.write_text("0")

    await no_inotify_left()
    async with watching(path, listen):
        assert open_inotify() == 1
    await no_inotify_left()
    assert not [thread.name for thread in threading.enumerate() if "notify" in thread.name]


async def test_a_failing_callback_ends_the_watching(tmp_path: Path, listen: Listen) -> None:
    """The error belongs to whoever started the watcher; the listening ends with it."""

    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await Watcher(tmp_path / "x", fail, listen=listen).run()
