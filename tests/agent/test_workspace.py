"""The clone: the right commit, shallow, no credential left anywhere, nothing run that came with it."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.support.agent import Sandbox, git, make_repository, shell
from tests.support.serving import serving
from tests.support.work import WorkServer

from donmai_daemon.agent.repository import RepositoryRefused, check_ref, read_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.mark.parametrize(
    ("ref", "commit", "branch"),
    [
        ("main", "main", "main"),
        ("refs/heads/side", "v1", "side"),
        ("v1", "v1", "HEAD"),
        (None, "main", "HEAD"),
    ],
)
def test_the_clone_stands_at_the_wanted_ref(
    server: WorkServer, sandbox: Sandbox, repository: Path, ref: str | None, commit: str, branch: str
) -> None:
    """A branch is checked out as itself, a tag or HEAD detached; only one commit is brought."""
    server.add("ses_1", repository=str(repository), ref=ref)
    assert sandbox.run("ses_1", shell("exit 0")).code == 0
    clone = sandbox.worktrees / "ses_1"
    assert git(clone, "rev-parse", "HEAD") == git(repository, "rev-parse", commit)
    assert git(clone, "rev-parse", "--abbrev-ref", "HEAD") == branch
    assert git(clone, "rev-list", "--count", "HEAD") == "1"


def test_a_commit_can_be_named(server: WorkServer, sandbox: Sandbox, repository: Path) -> None:
    """A commit id is a ref like any other, and a branch can be asked for on top of it."""
    first = git(repository, "rev-parse", "v1")
    server.add("ses_1", repository=str(repository), ref=first, branch="work/1")
    assert sandbox.run("ses_1", shell("exit 0")).code == 0
    clone = sandbox.worktrees / "ses_1"
    assert git(clone, "rev-parse", "HEAD") == git(clone, "rev-parse", "work/1") == first


def test_a_ref_that_is_not_there_fails_the_session(server: WorkServer, sandbox: Sandbox, repository: Path) -> None:
    """The platform hears running and failed, with git's own reason; the agent never starts."""
    job = server.add("ses_1", repository=str(repository), ref="nowhere")
    ran = sandbox.run("ses_1", shell("exit 0"))
    assert job.history == ["running", "finalizing", "failed"]
    assert (ran.code, ran.line["exitCode"]) == (1, None)
    assert "couldn't find remote ref nowhere" in str(ran.line["error"])


def test_an_earlier_attempt_is_moved_aside(server: WorkServer, sandbox: Sandbox, repository: Path) -> None:
    """What an earlier attempt at the session left may hold work, so it is kept under another name."""
    server.add("ses_1", repository=str(repository))
    (sandbox.worktrees / "ses_1").mkdir(parents=True)
    (sandbox.worktrees / "ses_1" / "work").write_text("unpushed")
    assert sandbox.run("ses_1", shell("exit 0")).code == 0
    assert (sandbox.worktrees / "ses_1.1" / "work").read_text() == "unpushed"
    assert not (sandbox.worktrees / "ses_1" / "work").exists()


def test_no_hook_runs_while_cloning(server: WorkServer, sandbox: Sandbox, repository: Path, tmp_path: Path) -> None:
    """Neither a hooks path nor a template of this user's git configuration gets a hook run."""
    hooks = sandbox.home / "template" / "hooks"
    hooks.mkdir(parents=True)
    hook = hooks / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    (sandbox.home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {hooks.parent}\n"
    )
    server.add("ses_1", repository=str(repository), ref="main")
    assert sandbox.run("ses_1", shell("exit 0")).code == 0
    assert not (tmp_path / "hooked").exists()
    assert not (sandbox.worktrees / "ses_1" / ".git" / "hooks").exists()


@pytest.mark.parametrize(
    "repository",
    [
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=touch /tmp/x",
        "file:///etc",
        "acme/alpha",
        "-u",
        "fd::17",
        "git://h/x",
    ],
)
def test_a_repository_that_is_none_starts_no_git(server: WorkServer, sandbox: Sandbox, repository: str) -> None:
    """Remote helpers, options, and names that are no URL are refused before git sees them."""
    job = server.add("ses_1", repository=repository)
    ran = sandbox.run("ses_1", shell("exit 0"))
    assert (ran.code, job.history[-1]) == (1, "failed")
    assert not (sandbox.worktrees / "ses_1").exists()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://example.org/a.git", "https://example.org/a.git"),
        ("https://example.org:8443/a b", "https://example.org:8443/a b"),
        ("https://[::1]:1/a", "https://[::1]:1/a"),
        ("ssh://git@example.org:22/a.git", "ssh://git@example.org:22/a.git"),
        ("git@example.org:acme/a.git", "git@example.org:acme/a.git"),
        ("/srv/git/a b.git", "file:///srv/git/a%20b.git"),
    ],
)
def test_repositories_that_are_cloned(text: str, url: str) -> None:
    """https, ssh, scp-like, and absolute paths; a path becomes a URL because git ignores a depth for paths."""
    assert read_repository(text).url == url


@pytest.mark.parametrize(
    "text",
    ["", " https://h/a", "https://h/a\n", "ext::x", "transport::ssh://h/a", "ssh://-oProxyCommand=x/a", "ssh://u:p@h/a",
     "-oProxyCommand=x:a", "https:///a", "https://h:x/a", "./a", "~/a", "https://u%0apassword=x@h/a"],
)  # fmt: skip
def test_repositories_that_are_refused(text: str) -> None:
    """What could be an option, a helper, or a way around either is no repository."""
    with pytest.raises(RepositoryRefused):
        read_repository(text)


@pytest.mark.parametrize("ref", ["-x", "+main", "a:b", "a b", "a..b", "a@{1}", "", "a^", "a*", "x" * 513])
def test_refs_that_are_refused(ref: str) -> None:
    """Options, refspecs and revision expressions are no refs."""
    with pytest.raises(RepositoryRefused):
        check_ref(ref)


def test_a_credential_shows_nowhere(server: WorkServer, sandbox: Sandbox, repository: Path, tmp_path: Path) -> None:
    """A credential in the URL authenticates the clone, and is in no process's arguments or environment, and in no file after."""
    with git_http(repository.parent, "bot", "s3cret-p4ss") as served:
        server.add(
            "ses_1", repository=f"http://bot:s3cret-p4ss@127.0.0.1:{served.port}/repository/.git", ref="main"
        )
        ran = sandbox.run("ses_1", shell("exit 0"), {"TMPDIR": str(tmp_path)})
    assert ran.code == 0, ran.errors
    assert served.authorized > 0
    assert served.processes, "nothing was looked at while git was running"
    assert not [text for text in served.processes if b"s3cret-p4ss" in text]
    assert "s3cret-p4ss" not in ran.errors + str(ran.line)
    left = [path for path in (*sandbox.worktrees.rglob("*"), *tmp_path.glob("donmai-git-*")) if path.is_file()]
    assert left
    assert not [path for path in left if b"s3cret-p4ss" in path.read_bytes()]


class GitHttp:
    """What a git server with a password saw. `processes`: arguments and environments of all git processes at a request."""

    def __init__(self) -> None:
        self.port = 0
        self.authorized = 0
        self.processes: list[bytes] = []


@contextmanager
def git_http(root: Path, user: str, password: str) -> Iterator[GitHttp]:
    """git's own smart HTTP backend behind Basic authentication."""
    seen = GitHttp()
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def _serve(self) -> None:
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    try:
                        arguments = (process / "cmdline").read_bytes()
                        if arguments.startswith(b"git\0") or b"/git" in arguments.partition(b"\0")[0]:
                            seen.processes += [arguments, (process / "environ").read_bytes()]
                    except OSError:
                        continue
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            if self.headers.get("authorization") != wanted:
                self.send_response(401)
                self.send_header("www-authenticate", 'Basic realm="git"')
                self.send_header("content-length", "0")
                self.end_headers()
                return
            seen.authorized += 1
            path, _, query = self.path.partition("?")
            done = subprocess.run(
                ["git", "http-backend"],
                input=body,
                capture_output=True,
                check=True,
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("content-type", ""),
                    "CONTENT_LENGTH": str(length),
                    "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
                },
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            self.send_response(200)
            for line in head.decode().splitlines():
                name, _, value = line.partition(": ")
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815 - names that http.server gives

    with serving(Handler) as seen.port:
        yield seen
