"""The beat and its answer, as they stand on the wire.

Reading is lenient one element at a time: an unknown field is counted, a bad element is named and left out, and
neither sinks the rest. What makes an answer *accepted* is decided here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from donmai_daemon.model.admission import AdmissionReport
from donmai_daemon.model.condition import Condition
from donmai_daemon.model.json import Json, JsonObject, int_or_none, text_or_none
from donmai_daemon.model.mutation import Ack, MutationRequest

DispatchStatus: TypeAlias = Literal["idle", "busy", "draining"]

_ANSWER_FIELDS = {
    "acknowledged", "serverTime", "pendingWorkCount", "hostStatus", "pendingMutations", "heldBeats",
}  # fmt: skip
_MUTATION_FIELDS = {"id", "op", "params", "requestedAt", "requestedBy"}


@dataclass(frozen=True, slots=True)
class Load:
    """CPU and memory in percent; load averages over 1, 5 and 15 minutes, None where the system has none."""

    cpu: float
    memory: float
    average: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class Beat:
    """Everything one heartbeat says."""

    status: DispatchStatus | None
    active_count: int
    max_sessions: int
    report: AdmissionReport
    full_report: bool
    seq: int
    load: Load | None = None
    active_interactive_count: int | None = None
    acks: Sequence[Ack] = ()
    conditions: Sequence[Condition] = ()
    config_digest: str | None = None

    def to_json(self) -> JsonObject:
        body: JsonObject = {
            "activeCount": self.active_count,
            "maxSessions": self.max_sessions,
            "allowlistHash": self.report.digest,
            "seq": self.seq,
        }
        if self.status is not None:
            body["status"] = self.status
        if self.active_interactive_count is not None:
            body["activeInteractiveCount"] = self.active_interactive_count
        if self.load is not None:
            body["load"] = {"cpu": self.load.cpu, "memory": self.load.memory}
            if self.load.average is not None:
                one, five, fifteen = self.load.average
                body["loadAverage"] = {"one": one, "five": five, "fifteen": fifteen}
        if self.full_report:
            body["allowlist"] = self.report.allowlist_json()
            body["enabledProjectIds"] = list(self.report.enabled_ids)
            body["projectAdmissionMode"] = self.report.mode
        applied: list[Json] = [ack.id for ack in self.acks if ack.error is None]
        failed: list[Json] = [{"id": a.id, "error": a.error} for a in self.acks if a.error is not None]
        if applied:
            body["appliedMutations"] = applied
        if failed:
            body["mutationFailures"] = failed
        if self.conditions:
            body["conditions"] = [condition.to_json() for condition in self.conditions]
        if self.config_digest is not None:
            body["configDigest"] = self.config_digest
        return body


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The platform's view of this host. `status` is `ok`, or a `pool_*` value: stop claiming new work."""

    status: str
    recommended_action: str | None = None
    candidate_pool_ids: tuple[str, ...] = ()

    @property
    def blocks_claiming(self) -> bool:
        return self.status.startswith("pool_")

    @property
    def known(self) -> bool:
        """Whether this daemon knows what the value means; an unknown value changes nothing."""
        return self.status == "ok" or self.blocks_claiming

    def to_json(self) -> JsonObject:
        body: JsonObject = {"status": self.status}
        if self.recommended_action is not None:
            body["recommendedAction"] = self.recommended_action
        if self.candidate_pool_ids:
            body["candidatePoolIds"] = list(self.candidate_pool_ids)
        return body


@dataclass(frozen=True, slots=True)
class BeatAnswer:
    """An accepted answer. `ignored` names what was left out (unknown fields, bad elements), for the log."""

    server_time: str | None = None
    host_status: HostStatus | None = None
    mutations: tuple[MutationRequest, ...] = ()
    pending_work_count: int | None = None
    held_beats: bool = False
    ignored: tuple[str, ...] = ()


def read_beat_answer(payload: Json) -> BeatAnswer | str:
    """Read the JSON of a 2xx answer; a string says why it is not an accepted beat."""
    if not isinstance(payload, dict):
        return "answer is not a JSON object"
    if payload.get("acknowledged") is not True:
        return "answer does not say acknowledged: true"
    ignored = [f"unknown field {name!r}" for name in payload if name not in _ANSWER_FIELDS]
    mutations: list[MutationRequest] = []
    listed = payload.get("pendingMutations")
    if listed is not None and not isinstance(listed, list):
        ignored.append("pendingMutations is not a list")
    for index, element in enumerate(listed if isinstance(listed, list) else ()):
        read = read_mutation(element)
        if isinstance(read, str):
            ignored.append(f"pendingMutations[{index}]: {read}")
        else:
            mutations.append(read)
            ignored += [f"pendingMutations[{index}]: unknown field {n!r}" for n in _extra(element)]
    return BeatAnswer(
        server_time=text_or_none(payload, "serverTime"),
        host_status=_read_host_status(payload.get("hostStatus"), ignored),
        mutations=tuple(mutations),
        pending_work_count=int_or_none(payload, "pendingWorkCount"),
        held_beats=payload.get("heldBeats") is True,
        ignored=tuple(ignored),
    )


def read_mutation(element: Json) -> MutationRequest | str:
    """One element of `pendingMutations`; a string says why it cannot even be named.

    Only the id must be good: with an id, everything else that is wrong can be settled as failed and acked.
    """
    if not isinstance(element, dict):
        return "not an object"
    identifier = element.get("id")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= 512:
        return "no usable id"
    if not identifier.isprintable():
        return "id has control characters"
    op = element.get("op")
    params = element.get("params")
    return MutationRequest(
        id=identifier,
        op=op if isinstance(op, str) else "",
        params=params if isinstance(params, dict) else {},
        requested_at=text_or_none(element, "requestedAt"),
        requested_by=text_or_none(element, "requestedBy"),
    )


def _extra(element: Json) -> list[str]:
    return [name for name in element if name not in _MUTATION_FIELDS] if isinstance(element, dict) else []


def _read_host_status(value: Json, ignored: list[str]) -> HostStatus | None:
    if value is None:
        return None
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(status, str):
        ignored.append("hostStatus: no status text")
        return None
    pools = value.get("candidatePoolIds")
    candidates = tuple(p for p in pools if isinstance(p, str)) if isinstance(pools, list) else ()
    return HostStatus(status, text_or_none(value, "recommendedAction"), candidates)
