"""Work items as they stand on the wire, read one at a time so that a bad one never sinks the others.

Only what admission decides by is read here, and must have its type; everything else stays in the payload and goes to the agent as it came.
`queuedAt` is a number for one producer and a text for another, and nothing here depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from donmai_daemon.model.json import Json, JsonObject, text_or_none

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_MAX_NAME = 512
_ANSWER_FIELDS = frozenset({"work", "hasInboxMessages", "inboxMessages", "preClaimed", "claimedSessionIds"})


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One piece of agent work. `payload` is the item as delivered and may hold secrets.

    `ceiling` is what the platform allows of the auth modes, in its order; None where it names no limit.
    `repository` is as the platform wrote it. `claim_id` is None where the platform does not number its claims.
    """

    session_id: str
    claim_id: str | None
    project_id: str
    repository: str | None
    repository_id: str | None
    requires_repository: bool
    workload: str
    company: str
    model: str
    requested_mode: str | None
    ceiling: tuple[str, ...] | None
    interactive: bool
    payload: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Unusable:
    """An item that cannot be admitted, and how to name it: `session_id` is None where it cannot even be named."""

    session_id: str | None
    reason: str
    payload: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """What one poll claimed. `ignored` says what was passed over, for the log."""

    items: tuple[WorkItem, ...] = ()
    unusable: tuple[Unusable, ...] = ()
    claimed_elsewhere: tuple[str, ...] = ()
    """Ids the platform says it gave us although no readable item came with them."""
    inbox_messages: int = 0
    ignored: tuple[str, ...] = ()


def is_session_id(text: str) -> bool:
    """Whether `text` can name a session here: it becomes a file name, a directory name and a path segment."""
    return _SESSION_ID.fullmatch(text) is not None


def read_poll_answer(payload: Json) -> PollAnswer | str:
    """Read the JSON of a 2xx answer to a poll; a string says why it is none."""
    if not isinstance(payload, dict):
        return "answer is not a JSON object"
    ignored = [f"unknown field {name!r}" for name in payload if name not in _ANSWER_FIELDS]
    listed = payload.get("work")
    if listed is not None and not isinstance(listed, list):
        ignored.append("work is not a list")
    items: list[WorkItem] = []
    unusable: list[Unusable] = []
    for element in listed if isinstance(listed, list) else ():
        read = read_work_item(element)
        if isinstance(read, WorkItem):
            items.append(read)
        else:
            unusable.append(read)
    named = {item.session_id for item in items} | {item.session_id for item in unusable}
    claimed = payload.get("claimedSessionIds")
    unread = [c for c in claimed if _is_name(c) and c not in named] if isinstance(claimed, list) else []
    inbox = payload.get("inboxMessages")
    return PollAnswer(
        items=tuple(items),
        unusable=tuple(unusable),
        claimed_elsewhere=tuple(str(c) for c in dict.fromkeys(str(c) for c in unread)),
        inbox_messages=len(inbox) if isinstance(inbox, list) else 0,
        ignored=tuple(ignored),
    )


def read_work_item(element: Json) -> WorkItem | Unusable:
    """One element of `work`. Wrong types of fields that decide nothing here are not looked at."""
    if not isinstance(element, dict):
        return Unusable(None, "the work item is not an object", element)
    session_id = element.get("sessionId")
    if not _is_name(session_id) or not isinstance(session_id, str):
        return Unusable(None, "the work item has no usable sessionId", element)
    if not is_session_id(session_id):
        return Unusable(session_id, "sessionId may hold only letters, digits and . _ : - (200 at most)", element)
    profile = element.get("resolvedProfile")
    if profile is not None and not isinstance(profile, dict):
        return Unusable(session_id, "resolvedProfile is not an object", element)
    ceiling = _ceiling(profile or {})
    if isinstance(ceiling, str):
        return Unusable(session_id, ceiling, element)
    for name, source in (
        *((name, element) for name in ("projectId", "repository", "repositoryId", "workType", "claimId")),
        *((name, profile or {}) for name in ("provider", "model", "authMode")),
    ):
        if source.get(name) is not None and not isinstance(source[name], str):
            return Unusable(session_id, f"{name} is not a text", element)
    return WorkItem(
        session_id=session_id,
        claim_id=text_or_none(element, "claimId"),
        project_id=text_or_none(element, "projectId") or "",
        repository=text_or_none(element, "repository") or None,
        repository_id=text_or_none(element, "repositoryId") or None,
        requires_repository=element.get("requiresRepository") is True,
        workload=text_or_none(element, "workType") or "",
        company=text_or_none(profile or {}, "provider") or "",
        model=text_or_none(profile or {}, "model") or "",
        requested_mode=text_or_none(profile or {}, "authMode"),
        ceiling=ceiling,
        interactive=element.get("mode") == "interactive",
        payload=element,
    )


def _is_name(value: Json) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


def _ceiling(profile: Mapping[str, Json]) -> tuple[str, ...] | str | None:
    """The platform's limit on auth modes; a text says why it cannot be understood (then nothing may be assumed)."""
    modes = profile.get("allowedAuthModes")
    if modes is None:
        return None
    if not isinstance(modes, list) or not all(isinstance(mode, str) for mode in modes):
        return "resolvedProfile.allowedAuthModes is not a list of texts"
    return tuple(str(mode) for mode in modes)
