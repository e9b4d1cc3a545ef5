"""`make release`: checked, the same bytes twice, and signed where a key is given."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.service import copy_checkout

from donmai_daemon import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

KEY = "release@donmai.test"


@pytest.fixture
def keyring() -> Iterator[dict[str, str]]:
    """An environment with a keyring of its own and a new key in it; its agent is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="donmai-gpg-") as home:  # short: gpg-agent's sockets are in it
        environ = os.environ | {"GNUPGHOME": home}
        make = ("--quick-generate-key", KEY, "ed25519", "sign", "never")
        gpg(environ, "--pinentry-mode", "loopback", "--passphrase", "", *make)
        yield environ
        subprocess.run(["gpgconf", "--kill", "all"], env=environ, check=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout whose changelog has a section for the version."""
    place = tmp_path / "checkout"
    copy_checkout(place)
    changelog = place / "CHANGELOG.md"
    dated = f"## [{__version__}] - 2026-11-24"
    if dated.split(" - ")[0] not in changelog.read_text():
        changelog.write_text(changelog.read_text().replace("## [Unreleased]", dated))
    return place


def gpg(environ: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["gpg", "--batch", *argv], env=environ, check=True, capture_output=True, text=True)


def release(checkout: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "packaging/release.py"]
    return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)


def test_a_release_is_checked_and_signed(checkout: Path, keyring: dict[str, str]) -> None:
    """All artifacts come out alike twice; the signature is good for their digests, and for no others."""
    done = release(checkout, keyring | {"DONMAI_SIGNING_KEY": KEY})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bytes twice" in done.stdout
    assert "unsigned" not in done.stdout
    dist = checkout / "dist"
    sums, signature = dist / "SHA256SUMS", dist / "SHA256SUMS.asc"
    subprocess.run(["sha256sum", "--check", "--strict", sums.name], cwd=dist, check=True, capture_output=True)
    listed = {line.split()[1] for line in sums.read_text().splitlines()}
    assert listed == {path.name for path in dist.iterdir()} - {sums.name, signature.name}
    said = gpg(keyring, "--status-fd", "1", "--verify", str(signature), str(sums)).stdout
    assert "GOODSIG" in said
    assert KEY in said
    sums.write_text(sums.read_text().replace("0", "1", 1))
    with pytest.raises(subprocess.CalledProcessError):
        gpg(keyring, "--verify", str(signature), str(sums))


def test_a_key_that_cannot_be_had_ends_it_at_once(checkout: Path, keyring: dict[str, str]) -> None:
    """Whoever asked for a signature gets one or an error, and not after everything was built."""
    done = release(checkout, keyring | {"DONMAI_SIGNING_KEY": "nobody@donmai.test"})
    assert done.returncode != 0
    assert "nobody@donmai.test" in done.stderr
    assert not (checkout / "dist").exists()


def test_a_version_without_a_changelog_is_not_released(checkout: Path) -> None:
    """The section of the version is there, with its date, or nothing is built."""
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"[{__version__}]", "[0.0.0]"))
    done = release(checkout, dict(os.environ))
    assert done.returncode != 0
    assert f"CHANGELOG.md has no section `## [{__version__}] - YYYY-MM-DD`" in done.stderr
