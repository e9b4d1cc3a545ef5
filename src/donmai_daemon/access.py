"""Model access: which credential mode, host and model a piece of work may use on this machine.

Pure. The daemon asks at admission, before any credential is touched; `donmai host model-access explain` asks the
same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from donmai_daemon.errors import DonmaiError
from donmai_daemon.model.config import AUTH_MODES, AuthMode, Cell, ModelAccess, Policy
from donmai_daemon.model.json import Json, JsonObject

Verdict: TypeAlias = Literal["allowed", "denied", "inherited", "dropped"]

EVERY_ROW = "*"
"""The row that speaks for every model and company that has none of its own."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of one mode, and which cell decided.

    `cell` is `<row>.<mode>`, or None where no cell speaks of the mode. `inherited`: no cell, so the ceiling's word
    stands. `dropped`: a cell allows what the ceiling does not, and has no effect.
    """

    mode: AuthMode
    verdict: Verdict
    cell: str | None

    def to_json(self) -> JsonObject:
        return {"mode": self.mode, "verdict": self.verdict, "cell": self.cell}


@dataclass(frozen=True, slots=True)
class Decision:
    """Access granted. `host` is "" where no cell pins one; `model` is the pinned one, else the one asked for.

    `effective` is what the policy leaves of the ceiling, in the ceiling's order. `dropped` names the cells that allow
    a mode outside the ceiling. `policy` is `default`, the workload's name, or None where there is no policy.
    """

    auth_mode: AuthMode
    host: str
    model: str
    effective: tuple[AuthMode, ...]
    dropped: tuple[str, ...]
    rulings: tuple[Ruling, ...]
    policy: str | None

    def to_json(self) -> JsonObject:
        rulings: list[Json] = [ruling.to_json() for ruling in self.rulings]
        return {
            "authMode": self.auth_mode,
            "host": self.host,
            "model": self.model,
            "effective": list(self.effective),
            "dropped": list(self.dropped),
            "policy": self.policy,
            "rulings": rulings,
        }


class AccessDenied(DonmaiError):  # noqa: N818 - conditions are named as conditions
    """The policy leaves no mode of the ceiling. `rulings` says which cell took which mode away."""

    code = "access_denied"

    def __init__(
        self, company: str, model: str, workload: str, dropped: tuple[str, ...], rulings: tuple[Ruling, ...]
    ) -> None:
        subject = "/".join(part for part in (company, model) if part) or "this work"
        purpose = f" for {workload}" if workload else ""
        denied = ", ".join(r.cell for r in rulings if r.verdict == "denied" and r.cell is not None)
        because = f"denied by {denied}" if denied else "the platform allows no mode"
        super().__init__(f"model access denied: {subject}{purpose}: {because}")
        self.dropped = dropped
        self.rulings = rulings


def resolve(
    ceiling: Sequence[str],
    policy_block: ModelAccess,
    workload: str,
    company: str,
    model: str,
    requested: str | None,
) -> Decision:
    """Narrow `ceiling` by the machine's policy and choose a mode. Raises `AccessDenied` where nothing is left.

    `ceiling` is what the platform allows, in its order of preference; names that are no mode are passed over.
    The workload's own policy counts if there is one, else the default; they are never merged.
    """
    policy = policy_block.workloads.get(workload)
    name: str | None = workload
    if policy is None:
        policy, name = policy_block.default, "default"
    if policy is None:
        policy, name = Policy(), None

    rows = [row for row in (model, company, EVERY_ROW) if row]
    rulings: list[Ruling] = []
    effective: list[AuthMode] = []
    dropped: list[str] = []
    for mode in _modes(ceiling):
        row = _deciding_row(policy.matrix, rows, mode)
        if row is None:
            rulings.append(Ruling(mode, "inherited", None))
            effective.append(mode)
            continue
        allowed = policy.matrix[row][mode].allowed
        rulings.append(Ruling(mode, "allowed" if allowed else "denied", f"{row}.{mode}"))
        if allowed:
            effective.append(mode)
    for mode in AUTH_MODES:
        row = None if mode in ceiling else _deciding_row(policy.matrix, rows, mode)
        if row is not None and policy.matrix[row][mode].allowed:
            dropped.append(f"{row}.{mode}")
            rulings.append(Ruling(mode, "dropped", f"{row}.{mode}"))

    if not effective:
        raise AccessDenied(company, model, workload, tuple(dropped), tuple(rulings))
    preference = (*([requested] if requested else ()), *policy.auth_order, *AUTH_MODES)
    chosen = next(mode for wanted in preference for mode in effective if mode == wanted)
    row = _deciding_row(policy.matrix, rows, chosen)
    cell = Cell(allowed=True) if row is None else policy.matrix[row][chosen]
    return Decision(
        auth_mode=chosen,
        host=cell.host or "",
        model=cell.model or model,
        effective=tuple(effective),
        dropped=tuple(dropped),
        rulings=tuple(rulings),
        policy=name,
    )


def _modes(names: Sequence[str]) -> list[AuthMode]:
    """The modes among `names`, in that order, each once."""
    return [mode for name in dict.fromkeys(names) for mode in AUTH_MODES if mode == name]


def _deciding_row(matrix: Mapping[str, Mapping[AuthMode, Cell]], rows: Sequence[str], mode: AuthMode) -> str | None:
    return next((row for row in rows if mode in matrix.get(row, {})), None)
