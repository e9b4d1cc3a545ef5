"""What an installation is made of: steps that say what they would do, and what they did."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from donmai_daemon.errors import InstallationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMAND_SECONDS = 900
"""Stopping a service waits for its sessions: longer than the unit's own TimeoutStopSec."""


class Step(Protocol):
    """One thing to do. Doing it twice is doing it once."""

    def plan(self) -> str:
        """What `perform` would do, as lines for a person."""
        ...

    def perform(self) -> str:
        """Do it and say what was done. Raises `InstallationFailed`."""
        ...


class Note(NamedTuple):
    """Something to know; nothing is done."""

    text: str

    def plan(self) -> str:
        return self.text

    def perform(self) -> str:
        return self.text


class MakeDirectory(NamedTuple):
    """A directory with its parents. One that is there is left as it is."""

    path: Path
    mode: int
    group: str | None = None

    def plan(self) -> str:
        of = f", group {self.group}" if self.group else ""
        return f"make   {self.path} (mode {self.mode:04o}{of})" if not self.path.is_dir() else f"keep   {self.path}"

    def perform(self) -> str:
        if self.path.is_dir():
            return f"kept   {self.path}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.group is not None:
                shutil.chown(self.path, group=self.group)
            self.path.chmod(self.mode)
        except (OSError, LookupError) as error:
            raise _failed(f"{self.path} cannot be made", error) from error
        return f"made   {self.path}"


class WriteFile(NamedTuple):
    """A file that is ours to replace."""

    path: Path
    text: str

    def plan(self) -> str:
        if self.is_written():
            return f"keep   {self.path}"
        return f"write  {self.path}:\n" + "".join(
            f"       | {line}".rstrip() + "\n" for line in self.text.splitlines()
        )

    def perform(self) -> str:
        if self.is_written():
            return f"kept   {self.path}"
        beside = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(self.text, encoding="utf-8")
            beside.chmod(0o644)
            beside.replace(self.path)
        except OSError as error:
            raise _failed(f"{self.path} cannot be written", error) from error
        return f"wrote  {self.path}"

    def is_written(self) -> bool:
        """It is there, and as it should be."""
        try:
            return self.path.read_text(encoding="utf-8") == self.text
        except (OSError, UnicodeDecodeError):
            return False


class SeedFile(NamedTuple):
    """A first version of a file that belongs to somebody else from then on; one that is there is never touched."""

    path: Path
    text: str
    mode: int
    owner: str

    def plan(self) -> str:
        if os.path.lexists(self.path):
            return f"keep   {self.path}"
        return f"write  {self.path} (mode {self.mode:04o}, owner {self.owner})"

    def perform(self) -> str:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, self.mode)  # whatever the umask is
                file.write(self.text)
            shutil.chown(self.path, self.owner, self.owner)
        except FileExistsError:
            return f"kept   {self.path}"
        except (OSError, LookupError) as error:
            raise _failed(f"{self.path} cannot be written", error) from error
        return f"wrote  {self.path}"


class RemoveFile(NamedTuple):
    """A file of ours that goes, and the directory around it where nothing else is in it and `with_directory` is set."""

    path: Path
    with_directory: bool = False

    def plan(self) -> str:
        return f"remove {self.path}" if os.path.lexists(self.path) else f"gone   {self.path}"

    def perform(self) -> str:
        try:
            self.path.unlink()
            if self.with_directory and not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()
        except FileNotFoundError:
            return f"gone   {self.path}"
        except OSError as error:
            raise _failed(f"{self.path} cannot be removed", error) from error
        return f"removed {self.path}"


class Command(NamedTuple):
    """A program of the system. `may_fail`: what it undoes may be undone already."""

    argv: Sequence[str]
    may_fail: bool = False

    def plan(self) -> str:
        return f"run    {' '.join(self.argv)}"

    def perform(self) -> str:
        shown = " ".join(self.argv)
        try:
            done = subprocess.run(
                self.argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise InstallationFailed(f"{self.argv[0]} is not installed on this machine") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(f"{shown} did not end well", error) from error
        if done.returncode != 0 and not self.may_fail:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise InstallationFailed(f"{shown} failed" + (f": {said[-1]}" if said else ""))
        return f"ran    {shown}"


def _failed(what: str, error: Exception) -> InstallationFailed:
    because = getattr(error, "strerror", None) or str(error)
    hint = "run it with sudo" if isinstance(error, PermissionError) else None
    return InstallationFailed(f"{what}: {because}", hint=hint)
