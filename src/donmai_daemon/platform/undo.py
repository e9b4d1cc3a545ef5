"""Taking a change back: the operation that undoes another one, where there is exactly one and its effect is known.

Pure. What an entry was before a change is known in two ways: a daemon reports its projects, and the platform keeps
what was reported when it delivers a change of one; and it remembers what it asked for itself. Where neither says
enough the answer is a refusal that says why. A guess could widen what a machine's owner has closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from donmai_daemon.model.json import JsonObject
from donmai_daemon.ops.urls import normalise
from donmai_daemon.platform.conditions import Conflict
from donmai_daemon.platform.records.hosts import AdmissionRecord
from donmai_daemon.platform.records.mutations import MutationRecord

_PROJECT_OPS = ("project.add", "project.remove", "project.enable", "project.disable")
_POLICY_OPS = ("modelAccess.set", "modelAccess.clear")


@dataclass(frozen=True, slots=True)
class Inverse:
    """The operation that takes a change back."""

    op: str
    params: JsonObject


def related_ops(op: str) -> tuple[str, ...]:
    """Operations that may touch the same entry as `op`; none where nothing undoes it."""
    if op in _PROJECT_OPS:
        return _PROJECT_OPS
    return _POLICY_OPS if op in _POLICY_OPS else ()


def subject(op: str, params: JsonObject) -> tuple[str, str] | None:
    """What a change is about: a project, or a workload's policy (None: something that no report tells)."""
    if op in _PROJECT_OPS:
        return ("project", str(params.get("id")))
    if op in _POLICY_OPS:
        return ("policy", str(params.get("workload") or ""))
    return None


def entry_before(admission: AdmissionRecord, op: str, params: JsonObject) -> JsonObject | None:
    """What the report says of the project that `op` is about; None for operations that are about none."""
    if op not in _PROJECT_OPS:
        return None
    project = params.get("id")
    enabled = admission.enabled_ids is not None and project in admission.enabled_ids
    urls = [url for name, url in admission.allowlist if name == project]
    return {"present": enabled or bool(urls), "enabled": enabled, "repositories": [*urls]}


def inverse(mutation: MutationRecord, history: Sequence[MutationRecord]) -> Inverse:
    """What undoes `mutation`. `history` is every change of its host by a related operation, newest first.

    Raises `Conflict` with the reason where nothing does.
    """
    _require_applied(mutation)
    about = subject(mutation.op, mutation.params)
    if about is None:
        raise _refused(f"no operation takes {mutation.op} back")
    effective = [m for m in history if m.status in ("applied", "delivered", "pending")]
    place = next((i for i, m in enumerate(effective) if m.id == mutation.id), len(effective))
    for later in effective[:place]:
        if later.undoes == mutation.id:
            raise _refused(f"it is taken back already, by {later.id}")
        if _touches(later, about):
            raise _refused(f"{later.id} has changed the same entry since; undo that one first")
    earlier = [m for m in effective[place + 1 :] if m.status == "applied"]
    if about[0] == "project":
        return _project(mutation, about[1], _known_before(mutation, earlier))
    return _policy(mutation, about[1], earlier)


def _require_applied(mutation: MutationRecord) -> None:
    if mutation.status != "applied":
        reason = {
            "pending": "it was not delivered yet; cancel it instead",
            "delivered": "the machine has not said yet how it ended",
            "failed": "it failed and changed nothing",
            "cancelled": "it was cancelled and changed nothing",
        }[mutation.status]
        raise _refused(reason)


def _touches(other: MutationRecord, about: tuple[str, str]) -> bool:
    theirs = subject(other.op, other.params)
    whole_block = other.op == "modelAccess.clear" and theirs == ("policy", "")
    return theirs == about or (whole_block and about[0] == "policy")


def _known_before(mutation: MutationRecord, earlier: Sequence[MutationRecord]) -> JsonObject | None:
    if mutation.before is not None:
        return mutation.before
    about = subject(mutation.op, mutation.params)
    last = next((m for m in earlier if subject(m.op, m.params) == about), None)
    if last is not None and last.op == "project.remove":
        return {"present": False, "enabled": False, "repositories": []}
    return None


def _project(mutation: MutationRecord, project: str, before: JsonObject | None) -> Inverse:
    if before is None:
        raise _refused(f"the machine had not reported what project {project} was before it")
    known = before["repositories"]
    urls = [str(url) for url in known] if isinstance(known, list) else []
    present, enabled = bool(before["present"]), bool(before["enabled"])
    only_id: JsonObject = {"id": project}
    match mutation.op:
        case "project.add" if not present:
            return Inverse("project.remove", only_id)
        case "project.add" if normalise(str(mutation.params["repository"])) not in map(normalise, urls):
            raise _refused(
                "it gave one more repository to a project that was there, and no operation takes one away"
            )
        case "project.add" | "project.enable" if present and not enabled:
            return Inverse("project.disable", only_id)
        case "project.enable" if not present:
            return Inverse("project.remove", only_id)
        case "project.disable" if enabled:
            return Inverse("project.enable", only_id)
        case "project.remove" if enabled and len(urls) == 1:
            return Inverse("project.add", {"id": project, "repository": urls[0]})
        case "project.remove" if present:
            state = "enabled" if enabled else "disabled"
            raise _refused(
                f"the project was {state} with {len(urls)} repositories, which takes more than one operation"
            )
    raise _refused("it changed nothing: the entry was so before")


def _policy(mutation: MutationRecord, workload: str, earlier: Sequence[MutationRecord]) -> Inverse:
    if mutation.op == "modelAccess.clear" and not workload:
        raise _refused("it cleared every policy, and no operation sets more than one")
    last = next((m for m in earlier if _touches(m, ("policy", workload))), None)
    name = f"the policy of {workload}" if workload else "the default policy"
    if last is None:
        raise _refused(f"the platform does not know what {name} was before it")
    if last.op == "modelAccess.set":
        return Inverse("modelAccess.set", last.params)
    if mutation.op == "modelAccess.clear":
        raise _refused("it changed nothing: there was no policy")
    if not workload:
        raise _refused("no operation clears the default policy and leaves the others")
    return Inverse("modelAccess.clear", {"workload": workload})


def _refused(reason: str) -> Conflict:
    return Conflict(f"cannot be undone: {reason}")
