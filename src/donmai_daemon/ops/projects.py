"""Operations on `[projects.<id>]`: pure, one document in, one result out."""

from __future__ import annotations

from collections.abc import Mapping

from donmai_daemon.errors import EditRefused
from donmai_daemon.model.json import JsonObject
from donmai_daemon.ops import urls
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.lexis import Path
from donmai_daemon.ops.params import Fields
from donmai_daemon.ops.render import Table
from donmai_daemon.ops.result import Changed, Result, Unchanged


def read_id(fields: Fields) -> JsonObject:
    return {"id": fields.text("id")}


def read_add(fields: Fields) -> JsonObject:
    project_id, repository = fields.text("id"), fields.text("repository")
    problem = urls.problem(repository)
    if problem is not None:
        raise fields.fail("repository", problem)
    # Blanks around it are no part of a URL; for the rest the file keeps it as given.
    return {"id": project_id, "repository": repository.strip()}


def add(document: Document, params: JsonObject) -> Result:
    """Enable the project, and add the repository if no URL of it is there."""
    path, url = _path(params), str(params["repository"])
    project = _project(document, path)
    if project is None:
        return Changed(document.with_entry(path, [((), {"repositories": [url]})]))
    after = document if project.get("enabled", True) else document.switched(path, on=True)
    repositories = project.get("repositories")
    if repositories is None:
        after = after.with_key(path, "repositories", [url])
    elif not isinstance(repositories, list) or not all(isinstance(known, str) for known in repositories):
        raise EditRefused("the project's repositories are not a list of URLs")
    elif urls.normalise(url) not in map(urls.normalise, repositories):
        after = after.with_element((*path, "repositories"), url)
    return Unchanged() if after is document else Changed(after)


def remove(document: Document, params: JsonObject) -> Result:
    """Take the project out with everything that belongs to it."""
    path = _path(params)
    return Unchanged() if document.get(path) is None else Changed(document.without_entry(path))


def enable(document: Document, params: JsonObject) -> Result:
    """Allow the project's work; a project that is not there yet is put in without a repository."""
    path = _path(params)
    project = _project(document, path)
    if project is None:
        return Changed(document.with_entry(path, [((), {})]))
    return Unchanged() if project.get("enabled", True) else Changed(document.switched(path, on=True))


def disable(document: Document, params: JsonObject) -> Result:
    """Refuse the project's work.

    A project that is not there is put in as a disabled one: where the admission mode is `all-routed` (which an
    environment variable may say, so the document alone cannot tell), nothing else refuses its work.
    """
    path = _path(params)
    project = _project(document, path)
    disabled: Table = {"enabled": False}
    if project is None:
        return Changed(document.with_entry(path, [((), disabled)]))
    return Changed(document.switched(path, on=False)) if project.get("enabled", True) else Unchanged()


def _path(params: JsonObject) -> Path:
    return ("projects", str(params["id"]))


def _project(document: Document, path: Path) -> Mapping[str, object] | None:
    project = document.get(path)
    if project is None:
        return None
    if not isinstance(project, dict):
        raise EditRefused("the project is not a table")
    if not isinstance(project.get("enabled", True), bool):
        raise EditRefused("the project's enabled is neither true nor false")
    return project
