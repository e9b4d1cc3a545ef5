"""The directory an agent works in: a shallow clone at the wanted ref, made without running anything that came with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from donmai_daemon.agent.output import write_private
from donmai_daemon.agent.program import Program
from donmai_daemon.agent.repository import Repository
from donmai_daemon.errors import DonmaiError

_TAIL = 2000


class CloneFailed(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """git could not bring the repository."""

    code = "clone_failed"


@dataclass(frozen=True, slots=True)
class Git:
    """How git is run. `environment` is what it inherits; it sees no credential there."""

    python: str
    mark: str
    environment: Mapping[str, str]
    relay: Callable[[bytes], None]

    async def run(self, directory: Path, *arguments: str, config: Mapping[str, str]) -> None:
        """Run git in `directory`. Raises `CloneFailed` with the last line git printed."""
        tail = bytearray()

        def relay(chunk: bytes) -> None:
            self.relay(chunk)
            tail.extend(chunk)
            del tail[:-_TAIL]

        program = Program(
            ["git", *arguments],
            python=self.python,
            mark=self.mark,
            cwd=directory,
            environment={**_without_git(self.environment), **_SAFE, **_as_environment(config)},
        )
        if await program.run(relay) != 0:
            lines = [
                line for line in tail.decode(errors="replace").replace("\r", "\n").splitlines() if line.strip()
            ]
            fatal = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
            raise CloneFailed(f"git {arguments[0]} failed: {((fatal or lines or ['no output'])[-1])[:300]}")


_SAFE: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",  # nobody is there to answer
    "GIT_ASKPASS": "true",  # prints nothing: no dialog on somebody's desktop either
    "SSH_ASKPASS": "true",
    "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",  # ext:: would run a command that the URL names
}
_QUIET: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "protocol.ext.allow": "never",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
    "gc.auto": "0",
}


async def make_workspace(
    git: Git, repository: Repository | None, ref: str | None, branch: str | None, directory: Path
) -> None:
    """Make `directory`, and the clone in it. Raises `CloneFailed`, or `OSError` for the directory.

    What an earlier attempt at the same session left there is moved aside, never removed: it may hold work.
    """
    _make_directory(directory)
    if repository is None:
        return
    with _credential(repository) as config:
        await git.run(directory, "init", "--quiet", "--template=", config=config)
        await git.run(directory, "remote", "add", "origin", "--", repository.url, config=config)
        await _fetch(git, directory, ref or "HEAD", config)
        name = branch or _fetched_branch(directory)
        start = ["-B", name] if name is not None else ["--detach"]
        await git.run(directory, "checkout", "--quiet", *start, "FETCH_HEAD", "--", config=config)


async def _fetch(git: Git, directory: Path, ref: str, config: Mapping[str, str]) -> None:
    common = ("fetch", "--no-tags", "--no-recurse-submodules", "--quiet")
    try:
        await git.run(directory, *common, "--depth=1", "origin", ref, config=config)
    except CloneFailed:
        if not _is_commit(ref):
            raise
        # A server may refuse to give a commit by its id; then it has to be among what the branches reach.
        await git.run(directory, *common, "origin", "+refs/heads/*:refs/remotes/origin/*", config=config)
        (directory / ".git" / "FETCH_HEAD").write_text(f"{ref}\t\t{ref}\n")


def _is_commit(ref: str) -> bool:
    return len(ref) in {40, 64} and all(character in "0123456789abcdef" for character in ref)


def _fetched_branch(directory: Path) -> str | None:
    """The branch that was fetched; None where it was a tag, a commit, or HEAD."""
    first = (directory / ".git" / "FETCH_HEAD").read_text(errors="replace").partition("\n")[0]
    _, found, rest = first.partition("\tbranch '")
    return rest.partition("' of ")[0] if found else None


def _make_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = 1
    while os.path.lexists(directory):
        with contextlib.suppress(OSError):
            directory.rename(directory.with_name(f"{directory.name}.{number}"))
        number += 1
    directory.mkdir(mode=0o700)


@contextlib.contextmanager
def _credential(repository: Repository) -> Iterator[dict[str, str]]:
    """git configuration by which the credential is found in a private file that lives as long as this block.

    Not in the process list, not in an environment, not in `.git/config`; and only for the host it was given for.
    """
    if repository.username is None and repository.password is None:
        yield dict(_QUIET)
        return
    directory = Path(tempfile.mkdtemp(prefix="donmai-git-"))  # 0700
    try:
        file = directory / "credential"
        password = repository.password.reveal() if repository.password is not None else ""
        write_private(file, f"username={repository.username or ''}\npassword={password}\n".encode())
        yield {**_QUIET, f"credential.{repository.origin}.helper": f"!f() {{ cat '{file}'; }}; f"}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


_KEPT = frozenset(
    {"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_CONFIG_GLOBAL"}
)


def _without_git(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that would lead git to another repository or configuration than ours."""
    return {name: value for name, value in environment.items() if not name.startswith("GIT_") or name in _KEPT}


def _as_environment(config: Mapping[str, str]) -> dict[str, str]:
    environment = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment
