"""Admission: may this piece of work run here? Pure, so that every refusal can be tested and explained.

In this order: accepting, project, repository, model access, capacity. No credential is touched before the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from donmai_daemon.access import AccessDenied, Decision, resolve
from donmai_daemon.model.config import AUTH_MODES, Config, Project
from donmai_daemon.model.session import Refusal
from donmai_daemon.ops import urls
from donmai_daemon.sessions.work import WorkItem


@dataclass(frozen=True, slots=True)
class Standing:
    """What this host is like at the moment of asking. `refusing` says why it takes no work at all, None: it does."""

    config: Config
    active: int
    refusing: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """`repository` is what to clone, None: nothing. `access` is what the model-access policy decided."""

    work: WorkItem
    repository: str | None
    access: Decision


def decide(work: WorkItem, standing: Standing) -> Admitted | Refusal:
    """Admit or refuse `work`, as things stand."""
    if standing.refusing is not None:
        return Refusal("not_accepting", standing.refusing)
    config = standing.config
    project = config.projects.get(work.project_id)
    if (project is None and config.admission.mode != "all-routed") or (project is not None and not project.enabled):
        return Refusal("project_not_allowed", f'project "{work.project_id[:200]}" is not allowed')
    repository = _repository(work, project, all_routed=config.admission.mode == "all-routed")
    if isinstance(repository, Refusal):
        return repository
    try:
        access = resolve(
            AUTH_MODES if work.ceiling is None else work.ceiling,
            config.model_access,
            work.workload,
            work.company,
            work.model,
            work.requested_mode,
        )
    except AccessDenied as denied:
        return Refusal("access_denied", denied.message[:512])
    limit = config.capacity.max_sessions
    if standing.active >= limit:
        return Refusal("at_capacity", f"at capacity: {standing.active} of {limit} sessions are running")
    return Admitted(work, repository, access)


def _repository(work: WorkItem, project: Project | None, *, all_routed: bool) -> str | Refusal | None:
    """What to clone. An id or a whole URL names a repository; a part of one (`acme/alpha`) never does."""
    known = () if project is None else project.repositories
    if work.repository is None and work.repository_id is None:
        if work.requires_repository:
            return Refusal("repository_not_allowed", "the work needs a repository and names none")
        return None
    by_id = by_url = None
    if work.repository_id is not None:
        by_id = next((url for url in known if urls.repository_id(work.project_id, url) == work.repository_id), None)
    if work.repository is not None:
        bare = _without_userinfo(work.repository)
        if any(_same(url, bare) for url in known) or (all_routed and _can_be_cloned(bare)):
            by_url = work.repository
    if work.repository is not None and by_url is None:
        return _foreign(work, f'repository "{_shown(work.repository)}"')
    if work.repository_id is not None and by_id is None and not (all_routed and by_url is not None):
        return _foreign(work, f'repository id "{work.repository_id[:100]}"')
    if by_id is not None and by_url is not None and not _same(by_id, by_url):
        return Refusal("repository_not_allowed", "repository and repositoryId name different repositories")
    return by_url if by_url is not None else by_id


def _foreign(work: WorkItem, what: str) -> Refusal:
    return Refusal("repository_not_allowed", f'{what} does not belong to project "{work.project_id[:100]}"')


def _can_be_cloned(repository: str) -> bool:
    """An accepted git URL, or an absolute path of this machine (all-routed: whatever the platform routes here)."""
    return urls.problem(repository) is None or urls.is_path(repository)


def _same(one: str, other: str) -> bool:
    if urls.is_path(one) or urls.is_path(other):
        # `/srv/a`, `/srv/A` and `/srv/a.git` are three directories.
        return PurePosixPath(one) == PurePosixPath(other)
    return urls.normalise(_without_userinfo(one)) == urls.normalise(_without_userinfo(other))


def _without_userinfo(url: str) -> str:
    """An http(s) URL without the user part, which is a credential there and no part of the name; any other as it is."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() not in {"https", "http"}:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _shown(repository: str) -> str:
    """The repository for an error text, without anything before an @ in its authority."""
    scheme, separator, rest = repository.rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"[:200]
