"""The section `[projects]`."""

from __future__ import annotations

import pytest

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.model.config import Project
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import Loaded, load


def loaded(text: str) -> Loaded:
    return load(Document.parse(text.encode()), {})


def test_projects_are_read_as_written() -> None:
    """Ids, order of repositories, spelling of URLs: all as the file has them."""
    config = loaded(
        """[projects.beta]
repositories = ["git@github.com:Acme/Beta.git", "https://github.com/acme/beta2/"]
primary = "https://github.com/acme/beta2/"
[projects."al pha"]
enabled = false
"""
    ).config
    assert config.projects == {
        "beta": Project(
            "beta",
            repositories=("git@github.com:Acme/Beta.git", "https://github.com/acme/beta2/"),
            primary="https://github.com/acme/beta2/",
        ),
        "al pha": Project("al pha", enabled=False),
    }
    assert config.enabled_project_ids == ["beta"]


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("projects = 3", "projects", "must be a table, not a whole number"),
        ('[[projects]]\nid = "alpha"', "projects", "must be a table, not a list"),
        ("projects.alpha = true", "projects.alpha", "must be a table, not true or false"),
        ('[projects.""]', 'projects.""', "a project needs an id"),
        ('[projects.alpha]\nenabled = "no"', "projects.alpha.enabled", "must be true or false, not text in quotes"),
        ('[projects.alpha]\nrepositories = "https://a.example/b"', "projects.alpha.repositories",
         "must be a list of URLs, not text in quotes"),
        ("[projects.alpha]\nrepositories = [[]]", "projects.alpha.repositories[0]", "must be text in quotes, not a list"),
        ('[projects.alpha]\nrepositories = ["https://a.example/b", " "]', "projects.alpha.repositories[1]", "must not be empty"),
        ("[projects.alpha]\nprimary = 1.5", "projects.alpha.primary", "must be text in quotes, not a number with a fraction"),
    ],
)  # fmt: skip
def test_wrong_projects_are_refused(text: str, key: str, reason: str) -> None:
    """A project that cannot be meant refuses the file and is named."""
    with pytest.raises(ConfigInvalid) as caught:
        loaded(text)
    assert (caught.value.key, caught.value.reason) == (key, reason)
    assert caught.value.line is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/alpha.git",
        "HTTPS://GitHub.com/Acme/Alpha",
        "ssh://git@github.com:22/acme/alpha",
        "git@github.com:acme/alpha.git",
        "deploy@10.0.0.1:x/y",
        "https://git.example.com:8443/~me/a+b.git",
        "/srv/git/alpha",
    ],
)
def test_usual_repositories_are_accepted_in_silence(url: str) -> None:
    """https, ssh and scp-like URLs and absolute paths need no comment."""
    assert loaded(f'[projects.alpha]\nrepositories = ["{url}"]').warnings == ()


@pytest.mark.parametrize("url", ["../git/alpha", "file:///srv/git", "ext::sh -c true", "-oProxyCommand=x", "alpha"])
def test_exotic_repositories_are_kept_and_warned_of(url: str) -> None:
    """A person's own entry is not refused, but it is pointed at."""
    result = loaded(f'[projects.alpha]\nrepositories = ["{url}"]')
    assert result.config.projects["alpha"].repositories == (url,)
    (warning,) = result.warnings
    assert warning.startswith("projects.alpha.repositories[0] (line 2): must ")


def test_a_password_in_a_repository_is_warned_of_and_not_repeated() -> None:
    """The warning itself is no second place where the password can be read."""
    (warning,) = loaded('[projects.alpha]\nrepositories = ["https://u:hunter2@github.com/a/b"]').warnings
    assert "password" in warning
    assert "hunter2" not in warning


def test_a_primary_outside_the_list_is_warned_of() -> None:
    """It is used as written, and pointed at."""
    result = loaded('[projects.alpha]\nprimary = "https://a.example/b"')
    assert result.config.projects["alpha"].primary == "https://a.example/b"
    assert result.warnings == ("projects.alpha.primary (line 2): is not one of the project's repositories",)
