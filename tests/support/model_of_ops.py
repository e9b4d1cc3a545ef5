"""What the operations mean, said a second time: on plain values instead of text."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from donmai_daemon.model.json import JsonObject
from donmai_daemon.ops import urls


class Impossible(Exception):  # noqa: N818 - a condition
    """Something on the way is not what the operation works on."""


def _table(parent: dict[str, object], key: str) -> dict[str, object]:
    value = parent.setdefault(key, {})
    if not isinstance(value, dict):
        raise Impossible(key)
    return value


def _dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def expected(values: Mapping[str, object], op: str, params: JsonObject) -> dict[str, object]:
    """`values` after the operation. Raises `Impossible`."""
    after = copy.deepcopy(dict(values))
    if op.startswith("project."):
        _project(after, op, params)
    elif op == "capacity.set":
        _table(after, "capacity")[str(params["key"])] = params["value"]
    elif op == "modelAccess.set":
        policy = _dict(params["policy"])
        written = {"matrix": policy["matrix"], "auth_order": policy.get("authOrder", [])}
        block = _table(after, "model_access")
        if params.get("workload"):
            block = _table(block, "workloads")
        block[str(params.get("workload") or "default")] = copy.deepcopy(written)
    elif not params.get("workload"):
        after.pop("model_access", None)
    else:
        _table(_table(after, "model_access"), "workloads").pop(str(params["workload"]), None)
    return after


def _project(after: dict[str, object], op: str, params: JsonObject) -> None:
    projects, name = _table(after, "projects"), str(params["id"])
    if op == "project.remove":
        projects.pop(name, None)
        return
    project = _table(projects, name)
    enabled = op != "project.disable"
    if not isinstance(project.get("enabled", True), bool):
        raise Impossible("enabled")
    project["enabled"] = enabled
    if op == "project.add":
        repositories = project.setdefault("repositories", [])
        if not isinstance(repositories, list) or not all(isinstance(known, str) for known in repositories):
            raise Impossible("repositories")
        url = str(params["repository"])
        if urls.normalise(url) not in [urls.normalise(known) for known in repositories]:
            repositories.append(url)


def meaning(values: Mapping[str, object]) -> dict[str, object]:
    """`values` without what means nothing: `enabled = true`, unknown keys of a policy, empty lists and tables of ours."""
    after = copy.deepcopy(dict(values))
    projects = after.get("projects")
    for project in projects.values() if isinstance(projects, dict) else ():
        if isinstance(project, dict) and project.get("enabled") is True:
            del project["enabled"]
    block = after.get("model_access")
    if isinstance(block, dict):
        workloads = block.get("workloads")
        policies = [block.get("default"), *(workloads.values() if isinstance(workloads, dict) else ())]
        for policy in policies:
            for key in list(policy) if isinstance(policy, dict) else ():
                if key not in {"matrix", "auth_order"} or policy[key] in ({}, []):
                    del policy[key]
        if workloads == {}:
            del block["workloads"]
    return {key: value for key, value in after.items() if value != {} or key not in {"projects", "model_access"}}
