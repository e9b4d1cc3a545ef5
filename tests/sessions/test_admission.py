"""Admission: every refusal, in its order, with a reason that a person understands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.sessions import config, work_from

from donmai_daemon.model.config import Admission, Cell, Config, ModelAccess, Policy, Project
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.session import Refusal
from donmai_daemon.ops.urls import repository_id
from donmai_daemon.sessions.admission import Admitted, Standing, decide
from donmai_daemon.sessions.manager import detail_of

ALPHA = "https://github.com/acme/alpha.git"
DENIED = ModelAccess(default=Policy({"*": {"byok": Cell(allowed=False)}}))
PROFILE: Json = {"provider": "acme", "model": "m1", "allowedAuthModes": ["byok"]}


def ask(settings: Config | None = None, **fields: Json) -> Admitted | Refusal:
    return decide(work_from(fields), Standing(settings or config(), active=0))


def refusal(answer: Admitted | Refusal) -> tuple[str, str]:
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.reason


def all_routed(settings: Config) -> Config:
    return replace(settings, admission=Admission("all-routed"))


def test_refusals_come_in_their_order() -> None:
    """accepting, project, repository, model access, capacity: the first that fails is the one that is told."""
    wrong: JsonObject = {"projectId": "nope", "repository": "https://h/x", "resolvedProfile": PROFILE}
    full = replace(config(max_sessions=1), model_access=DENIED)

    def answer(refusing: str | None = None) -> tuple[str, str]:
        return refusal(decide(work_from(wrong), Standing(full, 1, refusing)))

    assert answer("the host is paused") == ("not_accepting", "the host is paused")
    assert answer() == ("project_not_allowed", 'project "nope" is not allowed')
    wrong["projectId"] = "alpha"
    assert answer() == ("repository_not_allowed", 'repository "https://h/x" does not belong to project "alpha"')
    wrong["repository"] = ALPHA
    assert answer() == ("access_denied", "model access denied: acme/m1: denied by *.byok")
    del wrong["resolvedProfile"]
    assert answer() == ("at_capacity", "at capacity: 1 of 1 sessions are running")
    assert isinstance(decide(work_from(wrong), Standing(full, 0)), Admitted)


def test_no_capacity_at_all_takes_nothing() -> None:
    """`max_sessions = 0` refuses even the first."""
    assert refusal(ask(config(max_sessions=0)))[0] == "at_capacity"


@pytest.mark.parametrize("mode", ["enumerated", "all-routed"])
def test_a_disabled_project_is_refused(mode: str) -> None:
    """An owner's `enabled = false` counts in either mode; only unknown projects are let in by all-routed."""
    settings = all_routed(config()) if mode == "all-routed" else config()
    assert refusal(ask(settings, projectId="beta")) == ("project_not_allowed", 'project "beta" is not allowed')
    assert isinstance(ask(settings, projectId="gamma"), Admitted if mode == "all-routed" else Refusal)


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/acme/alpha.git",
        "https://github.com/acme/alpha",
        " https://GitHub.com/Acme/Alpha/ ",
        "https://bot:secret@github.com/acme/alpha.git",
    ],
)
def test_a_repository_is_its_normalised_url(repository: str) -> None:
    """Case, a trailing slash, `.git` and a credential make no other repository; what is cloned is as the platform wrote it."""
    answer = ask(repository=repository)
    assert isinstance(answer, Admitted)
    assert answer.repository == repository


@pytest.mark.parametrize(
    "repository",
    [
        "acme/alpha", "alpha", "alpha.git", "https://evil.example/acme/alpha.git", "https://github.com/evil/acme/alpha",
        "https://github.com/acme/alpha-2", "github.com/acme/alpha", "git@github.com:acme/alpha.git", "/srv/alpha",
        "https://github.com@evil.example/acme/alpha", "ext::sh -c x",
    ],
)  # fmt: skip
def test_a_part_of_a_url_names_no_repository(repository: str) -> None:
    """No suffix, slug, other host or other scheme is taken for the project's repository."""
    assert refusal(ask(repository=repository))[0] == "repository_not_allowed"


def test_a_refusal_shows_no_credential() -> None:
    """The userinfo of a refused URL is not in the reason."""
    assert "secret" not in refusal(ask(repository="https://bot:secret@h/x"))[1]


def test_a_repository_can_be_named_by_its_id() -> None:
    """The exact id stands for the URL in the file; an id and a URL that disagree are refused."""
    mine = repository_id("alpha", ALPHA)
    answer = ask(repositoryId=mine)
    assert isinstance(answer, Admitted)
    assert answer.repository == ALPHA
    assert isinstance(ask(repositoryId=mine, repository=ALPHA), Admitted)
    assert refusal(ask(repositoryId=mine[:-1]))[0] == "repository_not_allowed"
    assert refusal(ask(repositoryId=repository_id("beta", ALPHA), repository=ALPHA))[0] == "repository_not_allowed"


def test_two_names_have_to_mean_one_repository() -> None:
    """An id and a URL that lead to different repositories are refused, though the project has both."""
    beta = "https://github.com/acme/beta.git"
    both = replace(config(), projects={"alpha": Project("alpha", True, (ALPHA, beta))})
    assert isinstance(ask(both, repository=ALPHA, repositoryId=repository_id("alpha", ALPHA)), Admitted)
    assert refusal(ask(both, repository=ALPHA, repositoryId=repository_id("alpha", beta))) == (
        "repository_not_allowed",
        "repository and repositoryId name different repositories",
    )


def test_work_may_need_no_repository() -> None:
    """Without one, work runs in an empty directory, unless it says that it needs one."""
    answer = ask()
    assert isinstance(answer, Admitted)
    assert answer.repository is None
    assert refusal(ask(requiresRepository=True)) == (
        "repository_not_allowed", "the work needs a repository and names none",
    )  # fmt: skip


def test_a_path_is_that_path() -> None:
    """The owner may write a directory of this machine; letters' case and `.git` tell directories apart."""
    settings = replace(config(), projects={"alpha": Project("alpha", repositories=("/srv/Alpha",))})
    assert isinstance(ask(settings, repository="/srv/Alpha/"), Admitted)
    for other in ("/srv/alpha", "/srv/Alpha.git", "/srv/x/../Alpha", "srv/Alpha", "file:///srv/Alpha"):
        assert refusal(ask(settings, repository=other))[0] == "repository_not_allowed"


def test_all_routed_clones_what_can_be_cloned() -> None:
    """Whatever the platform routes here, as long as it is a git URL or an absolute path."""
    settings = all_routed(config())
    for repository in ("https://h/any.git", "git@h:any.git", "/srv/any"):
        answer = ask(settings, projectId="gamma", repository=repository)
        assert isinstance(answer, Admitted)
        assert answer.repository == repository
    for repository in ("acme/any", "ext::x", "-x", "file:///srv/any"):
        assert refusal(ask(settings, projectId="gamma", repository=repository))[0] == "repository_not_allowed"


def test_the_policy_in_force_decides() -> None:
    """The configuration of the moment counts: what was allowed is denied as soon as the policy says so."""
    assert isinstance(ask(resolvedProfile=PROFILE), Admitted)
    assert refusal(ask(replace(config(), model_access=DENIED), resolvedProfile=PROFILE))[0] == "access_denied"


def test_the_decision_goes_into_the_detail() -> None:
    """Mode, model, host and what is left of the ceiling replace what the platform asked for."""
    pinned = ModelAccess(
        default=Policy({"acme": {"metered": Cell(True, "gw.example", "m2"), "byok": Cell(allowed=False)}})
    )
    answer = ask(
        replace(config(), model_access=pinned),
        resolvedProfile={
            "provider": "acme",
            "model": "m1",
            "authMode": "byok",
            "allowedAuthModes": ["byok", "metered"],
        },
        prompt="p",
    )
    assert isinstance(answer, Admitted)
    detail = detail_of(answer)
    assert detail["prompt"] == "p"
    assert detail["resolvedProfile"] == {
        "provider": "acme", "model": "m2", "authMode": "metered", "allowedAuthModes": ["metered"], "host": "gw.example",
    }  # fmt: skip
