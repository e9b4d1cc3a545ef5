"""The machine id."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from donmai_daemon.errors import StateDirectoryUnusable
from donmai_daemon.store.machine import machine_id, platform_uuid_in

OS_ID = "0123456789abcdef0123456789abcdef"


def none() -> str | None:
    return None


@pytest.fixture
def os_id(tmp_path: Path) -> Path:
    path = tmp_path / "etc-machine-id"
    path.write_text(OS_ID + "\n")
    return path


def test_the_configured_id_wins(tmp_path: Path, os_id: Path) -> None:
    """`[machine] id` is used as it stands."""
    assert machine_id("box-7", tmp_path, os_id, none) == "box-7"


def test_the_id_is_derived_and_stable(tmp_path: Path, os_id: Path) -> None:
    """The same machine has the same id in every state directory and version; the system's own id does not show."""
    first = machine_id(None, tmp_path / "a", os_id, none)
    assert first == machine_id(None, tmp_path / "b", os_id, none) == "mch_e327f798f5255a6cde1ca48f34034cc6"
    assert OS_ID not in first
    assert not (tmp_path / "a").exists()


def test_two_machines_differ(tmp_path: Path, os_id: Path) -> None:
    """Another system id gives another machine id."""
    first = machine_id(None, tmp_path, os_id, none)
    os_id.write_text(OS_ID[::-1])
    assert machine_id(None, tmp_path, os_id, none) != first


@pytest.mark.parametrize("content", ["", "\n", "uninitialized\n", "0" * 32, "my-host\n", "\xff"])
def test_a_system_without_an_id_gets_a_random_one_that_stays(tmp_path: Path, os_id: Path, content: str) -> None:
    """An image's empty or `uninitialized` file is no identity: every copy would share it."""
    os_id.write_text(content, "latin-1")
    first = machine_id(None, tmp_path, os_id, none)
    assert re.fullmatch("mch_[0-9a-f]{32}", first)
    assert machine_id(None, tmp_path, os_id, none) == first
    assert stat.S_IMODE((tmp_path / "machine-id").stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert machine_id(None, other, os_id, none) != first


def test_the_hardware_uuid_stands_in_for_a_missing_file(tmp_path: Path) -> None:
    """Where the system keeps no machine-id file, its hardware UUID is derived from in the same way."""
    uuid = "564d1a2b-0000-0000-0000-00000000abcd"
    first = machine_id(None, tmp_path, tmp_path / "missing", lambda: uuid)
    assert re.fullmatch("mch_[0-9a-f]{32}", first)
    assert uuid not in first
    assert list(tmp_path.iterdir()) == []


def test_the_uuid_is_found_in_the_listing() -> None:
    """The form that `ioreg` prints, with its other properties around it."""
    listing = """+-o Mac14,2  <class IOPlatformExpertDevice, id 0x100000212, registered>
    {
      "IOPlatformSerialNumber" = "XYZ"
      "IOPlatformUUID" = "564D1A2B-0000-0000-0000-00000000ABCD"
    }
"""
    assert platform_uuid_in(listing) == "564d1a2b-0000-0000-0000-00000000abcd"
    assert platform_uuid_in("nothing") is None


@pytest.mark.parametrize("content", [b"", b"mch_123", b"\xff\xfe"])
def test_a_damaged_kept_id_is_not_replaced_in_silence(tmp_path: Path, content: bytes) -> None:
    """A new id would be a new machine to the platform; that is the owner's decision."""
    (tmp_path / "machine-id").write_bytes(content)
    with pytest.raises(StateDirectoryUnusable) as caught:
        machine_id(None, tmp_path, tmp_path / "missing", none)
    assert caught.value.hint
