"""The control token on disk."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from donmai_daemon.control.token import ControlToken, load_or_create
from donmai_daemon.errors import StateDirectoryUnusable

DIGITS = "0123456789abcdef" * 4


def test_the_first_start_makes_a_token(tmp_path: Path) -> None:
    """64 hex digits in a private file, the same at every later start, and nothing else left behind."""
    path = tmp_path / "control-token"
    before = os.umask(0)
    try:
        token = load_or_create(path)
    finally:
        os.umask(before)
    assert re.fullmatch("[0-9a-f]{64}", path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token.reveal() == path.read_text() == load_or_create(path).reveal()
    assert list(tmp_path.iterdir()) == [path]


def test_every_machine_has_its_own(tmp_path: Path) -> None:
    """Two state directories, two tokens."""
    assert load_or_create(tmp_path / "a").reveal() != load_or_create(tmp_path / "b").reveal()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601, 0o610, 0o602, 0o700, 0o4600])
def test_a_wider_mode_is_refused(tmp_path: Path, mode: int) -> None:
    """A token that others may have read protects nothing; the hint is the command that mends it."""
    path = tmp_path / "control-token"
    path.write_text(DIGITS)
    path.chmod(mode)
    with pytest.raises(StateDirectoryUnusable, match=f"mode {mode:04o}") as caught:
        load_or_create(path)
    assert caught.value.hint == f"chmod 600 {path}"
    assert DIGITS not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_mode_is_accepted(tmp_path: Path, mode: int) -> None:
    """0600, or narrower; a newline that an editor left does not matter."""
    path = tmp_path / "control-token"
    path.write_text(DIGITS + "\n")
    path.chmod(mode)
    assert load_or_create(path).reveal() == DIGITS


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", DIGITS[:-1].encode(), DIGITS.encode() + b"0", DIGITS.encode() + b"\n\n", b"g" * 64, b"\xff" * 64],
)
def test_contents_that_are_no_token_are_refused(tmp_path: Path, content: bytes) -> None:
    """A damaged file is neither used nor replaced behind the owner's back."""
    path = tmp_path / "control-token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StateDirectoryUnusable, match="64 hex digits") as caught:
        load_or_create(path)
    assert caught.value.hint
    assert path.read_bytes() == content


def test_a_link_is_refused(tmp_path: Path) -> None:
    """A symbolic link is not followed, whether it leads to a good token or to nothing."""
    path, elsewhere = tmp_path / "control-token", tmp_path / "elsewhere"
    path.symlink_to(elsewhere)
    with pytest.raises(StateDirectoryUnusable, match="symbolic link"):
        load_or_create(path)
    assert not elsewhere.exists()
    elsewhere.write_text(DIGITS)
    elsewhere.chmod(0o600)
    with pytest.raises(StateDirectoryUnusable, match="symbolic link"):
        load_or_create(path)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A directory or a named pipe is refused at once; the pipe is not waited for."""
    pipe, directory = tmp_path / "pipe", tmp_path / "directory"
    os.mkfifo(pipe, 0o600)
    directory.mkdir()
    for path in (pipe, directory):
        with pytest.raises(StateDirectoryUnusable, match="not a plain file"):
            load_or_create(path)


def test_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that another user made is known to that user."""
    path = tmp_path / "control-token"
    load_or_create(path)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateDirectoryUnusable, match=f"belongs to user {owner}"):
        load_or_create(path)


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the file and the system's reason."""
    with pytest.raises(StateDirectoryUnusable, match="cannot be created: No such file"):
        load_or_create(tmp_path / "missing" / "control-token")


def test_a_token_shows_itself_to_nobody() -> None:
    """No repr, no formatting and no comparison gives the digits away."""
    token = ControlToken(DIGITS)
    assert DIGITS not in f"{token!r} {token} {vars(ControlToken)}"
    assert token.matches(DIGITS.encode())
    for wrong in (None, b"", DIGITS[:-1].encode(), DIGITS.upper().encode(), (DIGITS + "0").encode()):
        assert not token.matches(wrong)
    with pytest.raises(ValueError, match="64 hex digits"):
        ControlToken(DIGITS[:-1])
