"""Where the registration token comes from, and what is kept of what it brought."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.link.credentials import (
    Binding,
    Credentials,
    CredentialsCache,
    Grant,
    read_registration_token,
)
from donmai_daemon.model.config import PlatformLink
from donmai_daemon.model.secret import Secret
from donmai_daemon.store.atomic import write_private


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbf  rsk_file \r\n")
    return path


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "donmai-token").write_text("rsk_systemd\n")
    return directory


def test_the_environment_comes_first(token_file: Path, credentials: Path) -> None:
    """The variable beats the file, and the file beats the systemd credential; white space around a token is no part of it."""
    link = PlatformLink(token_file=str(token_file))
    environ = {"DONMAI_DAEMON_TOKEN": " rsk_variable\n"}
    assert read_registration_token(environ, link, credentials) == Secret("rsk_variable")
    assert read_registration_token({}, link, credentials) == Secret("rsk_file")
    assert read_registration_token({}, PlatformLink(), credentials) == Secret("rsk_systemd")
    assert read_registration_token({}, PlatformLink(), None) is None


def test_an_empty_variable_is_not_set(token_file: Path) -> None:
    """A variable that holds only white space counts as absent."""
    link = PlatformLink(token_file=str(token_file))
    assert read_registration_token({"DONMAI_DAEMON_TOKEN": " \n"}, link, None) == Secret("rsk_file")


def test_a_systemd_directory_without_the_credential_is_no_error(tmp_path: Path) -> None:
    """Other credentials in the directory are none of ours."""
    assert read_registration_token({}, PlatformLink(), tmp_path) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no token"),
        (b" \n", "holds no token"),
        (b"two tokens", "characters that no token has"),
        (b"rsk_\x00live", "characters that no token has"),
        ("rsk_clé".encode(), "characters that no token has"),
        (b"\xff\xfer\x00", "is not text"),
        (b"x" * 20_000, "characters that no token has"),
    ],
)
def test_a_file_without_a_usable_token_is_an_error(
    tmp_path: Path, credentials: Path, content: bytes, reason: str
) -> None:
    """A token file that is set and holds no token never leads to another token, and is named without its content."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=reason) as invalid:
        read_registration_token({}, PlatformLink(token_file=str(path)), credentials)
    assert invalid.value.key == "platform.token_file"
    assert "rsk" not in str(invalid.value)


def test_a_missing_file_is_an_error(tmp_path: Path, credentials: Path) -> None:
    """A token file that is set and missing is an error, not a reason to look elsewhere."""
    with pytest.raises(ConfigInvalid, match="cannot be read: No such file or directory"):
        read_registration_token({}, PlatformLink(token_file=str(tmp_path / "none")), credentials)


def test_a_bad_variable_is_an_error(token_file: Path) -> None:
    """A variable that holds something that no token can be is an error, not a reason to look elsewhere."""
    with pytest.raises(ConfigInvalid, match="DONMAI_DAEMON_TOKEN"):
        read_registration_token({"DONMAI_DAEMON_TOKEN": "a b"}, PlatformLink(token_file=str(token_file)), None)


def test_a_secret_shows_itself_to_nobody() -> None:
    """Every way to print a secret, or what contains it, shows a mask; equality and hash still work."""
    secret = Secret("rsk_live_1")
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}", f"{secret!s:>20}"):
        assert "rsk" not in text
    assert secret == Secret("rsk_live_1")
    assert secret != Secret("rsk_live_2")
    assert secret != "rsk_live_1"
    assert len({secret, Secret("rsk_live_1")}) == 1
    assert secret.reveal() == "rsk_live_1"


def test_what_another_version_kept_is_not_read_as_ours(tmp_path: Path) -> None:
    """A file of another format is none, even where its fields look like ours."""
    path = tmp_path / "credentials.json"
    cache, binding = CredentialsCache(path, write_private), Binding("https://p.test", "digest", "mch_1")
    grant = Grant(
        Credentials("wkr_1", Secret("a.b.c")), binding, datetime(2026, 11, 24, tzinfo=UTC), None, "whs_1", 30.0, 5.0
    )
    cache.save(grant)
    assert cache.load(binding) == grant
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    assert cache.load(binding) is None
