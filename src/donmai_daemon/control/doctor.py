"""Self-examination: what a snapshot says is well or not, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from donmai_daemon.model.condition import Condition, ConditionCode, Severity
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.status import Snapshot


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `severity` says how bad it is, or would be, when not `ok`; `hint` only where there is something to do."""

    name: str
    ok: bool
    severity: Severity
    detail: str
    hint: str | None = None

    def to_json(self) -> JsonObject:
        return {
            "name": self.name,
            "ok": self.ok,
            "severity": self.severity,
            "detail": self.detail,
            "hint": self.hint,
        }


def examine(snapshot: Snapshot) -> list[Check]:
    """Every check, always in the same order, the good ones too."""
    return [check(snapshot) for check in _CHECKS]


def to_json(checks: Sequence[Check]) -> JsonObject:
    """`ok` as a whole: no check of severity error failed."""
    listed: list[Json] = [check.to_json() for check in checks]
    return {"ok": all(check.ok or check.severity != "error" for check in checks), "checks": listed}


def _lifecycle(snapshot: Snapshot) -> Check:
    ok = snapshot.lifecycle == "ready"
    hint = "donmai host resume" if snapshot.lifecycle in ("paused", "draining") else None
    return Check("lifecycle", ok, "warning", f"the daemon is {snapshot.lifecycle}", None if ok else hint)


def _config(snapshot: Snapshot) -> Check:
    found = _condition(snapshot, "config_invalid")
    if snapshot.config_valid and found is None:
        return Check("config", True, "error", f"{snapshot.config_path} is in use")
    detail = found.message if found is not None else f"{snapshot.config_path} is not valid"
    return Check("config", False, "error", detail, "correct the file; donmai host config check names the place")


def _writable(snapshot: Snapshot) -> Check:
    return _unless(
        snapshot, ("config_unwritable", "disk_full"), "config-writable", "changes can be written",
        "make room, or make the file and its directory writable for the daemon's user",
    )  # fmt: skip


def _restart(snapshot: Snapshot) -> Check:
    return _unless(
        snapshot, ("restart_required",), "restart", "no setting waits for a restart", "donmai host restart"
    )


def _platform(snapshot: Snapshot) -> Check:
    if snapshot.config.platform.url is None:
        return Check("platform", False, "error", "no platform is configured", "set [platform] url")
    return _unless(
        snapshot, ("credentials_rejected", "platform_unreachable", "machine_id_conflict"), "platform",
        "the platform can be reached", "see donmai host logs",
    )  # fmt: skip


def _registration(snapshot: Snapshot) -> Check:
    if snapshot.worker_id is not None:
        return Check("registration", True, "error", f"registered as {snapshot.worker_id}")
    hint = "give it a registration token: DONMAI_DAEMON_TOKEN or [platform] token_file"
    return Check("registration", False, "error", "not registered", hint)


def _heartbeat(snapshot: Snapshot) -> Check:
    beat = snapshot.beat
    if beat.ready:
        return Check("heartbeat", True, "error", f"last beat accepted at {beat.last_accepted_at}")
    detail = (
        f"last beat accepted at {beat.last_accepted_at}" if beat.last_accepted_at else "no beat was accepted yet"
    )
    if beat.consecutive_failures:
        detail += f", {beat.consecutive_failures} failed since"
    if beat.last_error:
        detail += f": {beat.last_error}"
    return Check("heartbeat", False, "error", detail, "see donmai host logs")


def _clock(snapshot: Snapshot) -> Check:
    return _unless(
        snapshot, ("clock_skew",), "clock", "the clock agrees with the platform's", "turn on time synchronisation"
    )


def _host_status(snapshot: Snapshot) -> Check:
    status = snapshot.host_status
    if status is None or not status.blocks_claiming:
        return Check("host-status", True, "warning", "the platform lets this host claim work")
    hint = f"the platform recommends: {status.recommended_action}" if status.recommended_action else None
    return Check("host-status", False, "warning", f"the platform says {status.status}: no work is claimed", hint)


def _capacity(snapshot: Snapshot) -> Check:
    maximum = snapshot.config.capacity.max_sessions
    detail = f"{snapshot.active_sessions} of {maximum} sessions run"
    hint = None if maximum else "set [capacity] max_sessions above 0 to take work"
    return Check("capacity", maximum > 0, "warning", detail, hint)


def _projects(snapshot: Snapshot) -> Check:
    enabled = len(snapshot.applied_project_ids)
    if enabled or snapshot.config.admission.mode == "all-routed":
        return Check("projects", True, "warning", f"{enabled} enabled, admission {snapshot.config.admission.mode}")
    return Check(
        "projects", False, "warning", "no project is enabled, so no work is taken", "donmai host project allow"
    )


def _agent(snapshot: Snapshot) -> Check:
    if snapshot.config.agent.command:
        return Check("agent", True, "warning", f"agent command: {snapshot.config.agent.command[0]}")
    return Check("agent", False, "warning", "no agent command is configured", "set [agent] command")


def _mutations(snapshot: Snapshot) -> Check:
    return _unless(
        snapshot, ("journal_replaced", "mutation_internal_error", "mutation_parked", "mutation_held"), "mutations",
        f"{snapshot.pending_mutations} pending, {snapshot.unsent_acks} acks not yet delivered",
        "donmai host mutations list",
    )  # fmt: skip


def _unless(snapshot: Snapshot, codes: Sequence[ConditionCode], name: str, detail: str, hint: str) -> Check:
    """Good unless one of the conditions is there; the first in the order of `codes` is told."""
    for code in codes:
        found = _condition(snapshot, code)
        if found is not None:
            return Check(name, False, found.severity, found.message, hint)
    return Check(name, True, "error", detail)


def _condition(snapshot: Snapshot, code: ConditionCode) -> Condition | None:
    return next((condition for condition in snapshot.conditions if condition.code == code), None)


_CHECKS: Sequence[Callable[[Snapshot], Check]] = (
    _lifecycle, _config, _writable, _restart, _platform, _registration, _heartbeat, _clock, _host_status, _capacity,
    _projects, _agent, _mutations,
)  # fmt: skip
