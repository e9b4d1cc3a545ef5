"""The conditions that are true right now."""

from __future__ import annotations

from dataclasses import replace

import structlog

from donmai_daemon.clock import Clock, rfc3339
from donmai_daemon.model.condition import Condition, ConditionCode, Severity

_MAX_MESSAGE = 512


class Conditions:
    """Raised while true, removed when it clears. Each change is logged once; the next beat carries what is left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current: dict[ConditionCode, Condition] = {}
        self._log = structlog.get_logger("conditions")

    def set(self, code: ConditionCode, severity: Severity, message: str) -> None:
        """Raise `code`, or bring its message up to date; `since` stays that of the first raise."""
        message = message[:_MAX_MESSAGE]
        known = self._current.get(code)
        if known is not None and (known.severity, known.message) == (severity, message):
            return
        if known is None:
            self._current[code] = Condition(code, severity, message, rfc3339(self._clock.now()))
        else:
            self._current[code] = replace(known, severity=severity, message=message)
        log = self._log.error if severity == "error" else self._log.warning
        log("condition.raised", code=code, severity=severity, message=message)

    def clear(self, code: ConditionCode) -> None:
        """Remove `code`; nothing where it is not raised."""
        if self._current.pop(code, None) is not None:
            self._log.info("condition.cleared", code=code)

    def current(self) -> list[Condition]:
        """Sorted by code."""
        return [self._current[code] for code in sorted(self._current)]
