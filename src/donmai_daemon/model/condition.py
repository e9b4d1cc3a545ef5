"""Conditions: what is wrong right now, reported in status, logs and beats while it is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from donmai_daemon.model.json import JsonObject

ConditionCode: TypeAlias = Literal[
    "config_invalid",
    "config_unwritable",
    "restart_required",
    "platform_unreachable",
    "credentials_rejected",
    "clock_skew",
    "machine_id_conflict",
    "mutation_held",
    "mutation_parked",
    "mutation_internal_error",
    "disk_full",
    "journal_replaced",
]
Severity: TypeAlias = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong. `since` is RFC 3339 UTC with milliseconds; `message` is at most 512 characters."""

    code: ConditionCode
    severity: Severity
    message: str
    since: str

    def to_json(self) -> JsonObject:
        return {"code": self.code, "severity": self.severity, "message": self.message, "since": self.since}


class ConditionSink(Protocol):
    """Where the parts of the daemon report what is wrong, while it is."""

    def set(self, code: ConditionCode, severity: Severity, message: str) -> None:
        """Raise `code`, or bring its message up to date."""
        ...

    def clear(self, code: ConditionCode) -> None:
        """It is no longer true; nothing where it was not raised."""
        ...
