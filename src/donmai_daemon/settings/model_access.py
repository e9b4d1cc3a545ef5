"""The section `[model_access]`: plain code, because mutations edit it."""

from __future__ import annotations

from donmai_daemon.model.config import AUTH_MODES, WORKLOADS, AuthMode, Cell, ModelAccess, Policy
from donmai_daemon.settings.findings import Findings, Path, kind, suggestion

_BLOCK_KEYS = ("default", "workloads")
_POLICY_KEYS = ("matrix", "auth_order")
_CELL_KEYS = ("allowed", "host", "model", "enforce")
_MODES: dict[str, AuthMode] = {mode: mode for mode in AUTH_MODES}


def read(value: object, findings: Findings) -> ModelAccess:
    """The block as far as it can be read; what is wrong goes to `findings`."""
    reader = _Reader(findings)
    path = ("model_access",)
    block = reader.table(path, value, _BLOCK_KEYS)
    default = reader.policy((*path, "default"), block["default"]) if "default" in block else None
    workloads: dict[str, Policy] = {}
    for name, policy in reader.table((*path, "workloads"), block.get("workloads", {})).items():
        if name not in WORKLOADS:
            findings.warning((*path, "workloads", name), f"no such workload{suggestion(name, sorted(WORKLOADS))}")
        workloads[name] = reader.policy((*path, "workloads", name), policy)
    return ModelAccess(default, workloads)


class _Reader:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def table(self, path: Path, value: object, known: tuple[str, ...] = ()) -> dict[str, object]:
        """`value` as a table, empty where it is none. With `known` keys, all others are warned of."""
        if not isinstance(value, dict):
            self._findings.problem(path, f"must be a table, not {kind(value)}")
            return {}
        for key in value:
            if known and key not in known:
                self._findings.unknown_key((*path, key), known)
        return value

    def policy(self, path: Path, value: object) -> Policy:
        table = self.table(path, value, _POLICY_KEYS)
        rows = self.table((*path, "matrix"), table.get("matrix", {}))
        matrix = {row: self.row((*path, "matrix", row), cells) for row, cells in rows.items()}
        return Policy(matrix, self.order((*path, "auth_order"), table.get("auth_order", [])))

    def row(self, path: Path, value: object) -> dict[AuthMode, Cell]:
        cells: dict[AuthMode, Cell] = {}
        for name, cell in self.table(path, value).items():
            if (mode := self.mode((*path, name), name)) is not None:
                cells[mode] = self.cell((*path, name), cell)
        return cells

    def mode(self, path: Path, name: object) -> AuthMode | None:
        """The auth mode called `name`. A misspelt one is refused: read as absent it would allow what was denied."""
        if isinstance(name, str) and name in _MODES:
            return _MODES[name]
        near = suggestion(name, AUTH_MODES).removeprefix(": ") if isinstance(name, str) else ""
        self._findings.problem(
            path, f"unknown auth mode, must be one of {', '.join(AUTH_MODES)}", hint=near or None
        )
        return None

    def cell(self, path: Path, value: object) -> Cell:
        table = self.table(path, value, _CELL_KEYS)
        allowed = table.get("allowed")
        if isinstance(value, dict) and not isinstance(allowed, bool):
            self._findings.problem(
                (*path, "allowed"),
                "is missing" if allowed is None else f"must be true or false, not {kind(allowed)}",
                hint="write allowed = true or allowed = false",
            )
        enforce = table.get("enforce")
        if enforce is not None and not isinstance(enforce, bool):
            self._findings.problem((*path, "enforce"), f"must be true or false, not {kind(enforce)}")
        return Cell(
            allowed is True,
            self.text((*path, "host"), table.get("host")),
            self.text((*path, "model"), table.get("model")),
            enforce if isinstance(enforce, bool) else None,
        )

    def text(self, path: Path, value: object) -> str | None:
        if value is None or (isinstance(value, str) and value):
            return value
        self._findings.problem(
            path, "must not be empty" if value == "" else f"must be text in quotes, not {kind(value)}"
        )
        return None

    def order(self, path: Path, value: object) -> tuple[AuthMode, ...]:
        if not isinstance(value, list):
            self._findings.problem(path, f"must be a list of auth modes, not {kind(value)}")
            return ()
        modes = [mode for i, name in enumerate(value) if (mode := self.mode((*path, i), name)) is not None]
        if len(set(modes)) < len(modes):
            self._findings.warning(path, "names an auth mode twice; the first counts")
        return tuple(dict.fromkeys(modes))
