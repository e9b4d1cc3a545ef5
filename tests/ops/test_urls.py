"""Git URLs: accepted or refused, equal or not."""

from __future__ import annotations

import hashlib

import pytest

from donmai_daemon.ops import urls

NOT_ACCEPTED = "must be an https, ssh or scp-like git URL"
PASSWORD = "must not carry a password"
CHARACTERS = "must not contain blanks, backslashes or control characters"


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/alpha.git",
        "HTTPS://GitHub.com/acme/alpha",
        "https://token@git.example:8443/a/b/c/",
        "https://[2001:db8::1]/x",
        "ssh://git@github.com/acme/alpha.git",
        "ssh://git.example:22/~user/x",
        "git@github.com:acme/alpha.git",
        "gh:acme/alpha",
        "git.example:/srv/git/x.git",
        "git@[::1]:x",
        "user@host:path@v1",
        " https://github.com/acme/alpha ",
        "https://git.example/ünï",
    ],
)
def test_accepted(url: str) -> None:
    """https, ssh and scp-like URLs are accepted."""
    assert urls.problem(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must not be empty"),
        ("   ", "must not be empty"),
        ("-oProxyCommand=x", 'must not begin with "-"'),
        (" --upload-pack=x", 'must not begin with "-"'),
        ("file:///srv/x", NOT_ACCEPTED),
        ("FILE:///srv/x", NOT_ACCEPTED),
        ("file:/srv/x", NOT_ACCEPTED),
        ("ext::sh", NOT_ACCEPTED),
        ("ext::sh -c id", CHARACTERS),
        ("fd::17", NOT_ACCEPTED),
        ("git@host::x", NOT_ACCEPTED),
        ("http://git.example/x", NOT_ACCEPTED),
        ("git://git.example/x", NOT_ACCEPTED),
        ("ftp://git.example/x", NOT_ACCEPTED),
        ("git+ssh://git.example/x", NOT_ACCEPTED),
        ("/srv/git/x", NOT_ACCEPTED),
        ("./x", NOT_ACCEPTED),
        ("acme/alpha", NOT_ACCEPTED),
        ("alpha", NOT_ACCEPTED),
        ("C:/x", NOT_ACCEPTED),
        ("C:\\x", CHARACTERS),
        ("https://git.example", NOT_ACCEPTED),
        ("https://git.example/", NOT_ACCEPTED),
        ("https:///x", NOT_ACCEPTED),
        ("https://git.example:port/x", NOT_ACCEPTED),
        ("git@host:", NOT_ACCEPTED),
        ("git@host:-x", NOT_ACCEPTED),
        ("git@-host:x", NOT_ACCEPTED),
        ("ssh://-oProxyCommand=x/y", NOT_ACCEPTED),
        ("ssh://-l@host/x", NOT_ACCEPTED),
        ("https://user:secret@git.example/x", PASSWORD),
        ("https://:secret@git.example/x", PASSWORD),
        ("https://user:@git.example/x", PASSWORD),
        ("ssh://git:secret@git.example/x", PASSWORD),
        ("git:secret@git.example:x", PASSWORD),
        ("https://git.example/a b", CHARACTERS),
        ("https://git.example/a\0", CHARACTERS),
        ("https://git.example/\u202ex", CHARACTERS),
    ],
)
def test_refused(url: str, problem: str) -> None:
    """Local paths, transports that run programs, options and passwords are refused, in words that repeat nothing of the URL."""
    assert urls.problem(url) == problem


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://github.com/acme/alpha.git", "https://github.com/acme/alpha"),
        ("https://GitHub.com/Acme/Alpha.GIT", "https://github.com/acme/alpha"),
        (" https://github.com/acme/alpha/ ", "https://github.com/acme/alpha"),
        ("https://github.com/acme/alpha.git//", "https://github.com/acme/alpha"),
        ("https://github.com/acme/alpha/.git", "https://github.com/acme/alpha"),
        ("HTTPS://User@GitHub.com:8443/A", "https://User@github.com:8443/a"),
        ("git@GitHub.com:Acme/Alpha.git", "git@github.com:acme/alpha"),
        ("Git@Host:a@B/c", "Git@host:a@b/c"),
        ("Host:A/B.git", "host:a/b"),
        ("Host:A@B", "host:a@b"),
        ("https://h/x?u=http://Y", "https://h/x?u=http://y"),
    ],
)
def test_normal_form(url: str, normal: str) -> None:
    """Host and path in lower case, nothing at the ends; a user's name is left as it is."""
    assert urls.normalise(url) == normal


def test_repository_id() -> None:
    """The id is made of the project's id and the normal form, and is the same for every spelling."""
    digest = hashlib.sha256(b"alpha\0https://github.com/acme/alpha").hexdigest()
    assert urls.repository_id("alpha", "https://GitHub.com/acme/alpha.git") == f"repo-{digest[:12]}"
    assert urls.repository_id("beta", "https://github.com/acme/alpha") != f"repo-{digest[:12]}"
