"""Which names decide what a path leads to."""

from __future__ import annotations

from pathlib import Path

from donmai_daemon.runtime.places import Places, find_places


def test_a_plain_file_is_one_name(tmp_path: Path) -> None:
    """The directory and the file's name in it."""
    path = tmp_path / "daemon.toml"
    path.touch()
    assert find_places(path) == Places({tmp_path: frozenset({"daemon.toml"})}, path)


def test_every_link_on_the_way_counts(tmp_path: Path) -> None:
    """A linked directory, a relative link through `..`, an absolute link: each is a name that can be swapped."""
    (tmp_path / "real").mkdir()
    (tmp_path / "far").mkdir()
    (tmp_path / "dir").symlink_to("real")
    (tmp_path / "real" / "daemon.toml").symlink_to("../far/middle")
    (tmp_path / "far" / "middle").symlink_to(tmp_path / "far" / "end")
    (tmp_path / "far" / "end").touch()
    assert find_places(tmp_path / "dir" / "daemon.toml") == Places(
        {
            tmp_path: frozenset({"dir"}),
            tmp_path / "real": frozenset({"daemon.toml"}),
            tmp_path / "far": frozenset({"middle", "end"}),
        },
        tmp_path / "far" / "end",
    )


def test_the_first_missing_name_is_waited_for(tmp_path: Path) -> None:
    """Below a missing directory there is nothing to watch yet; a file where a directory should be is no better."""
    assert find_places(tmp_path / "a" / "b" / "c") == Places({tmp_path: frozenset({"a"})}, None)
    (tmp_path / "a").touch()
    assert find_places(tmp_path / "a" / "b") == Places({tmp_path / "a": frozenset({"b"})}, None)


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    """Links that lead to one another are all watched: mending one of them is what helps."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert find_places(tmp_path / "a") == Places({tmp_path: frozenset({"a", "b"})}, None)
