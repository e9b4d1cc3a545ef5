"""Operations on `[model_access]`: one policy is one entry, however many tables it is spread over."""

from __future__ import annotations

from donmai_daemon.model.config import AUTH_MODES, WORKLOADS
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.lexis import Path
from donmai_daemon.ops.params import Fields, short
from donmai_daemon.ops.render import Table, Value
from donmai_daemon.ops.result import Changed, Result, Unchanged

_BLOCK: Path = ("model_access",)
_CELL = ("allowed", "host", "model", "enforce")
_MODES = ", ".join(AUTH_MODES)


def read_clear(fields: Fields) -> JsonObject:
    workload = fields.optional_text("workload")
    return {} if workload is None else {"workload": workload}


def read_set(fields: Fields) -> JsonObject:
    values = read_clear(fields)
    if values and values["workload"] not in WORKLOADS:
        raise fields.fail("workload", f'unknown workload "{short(str(values["workload"]))}"')
    policy = fields.fields("policy")
    matrix = policy.fields("matrix")
    rows: JsonObject = {}
    for row in matrix.names():
        rows[row] = _read_row(matrix.fields(row))
    values["policy"] = {"matrix": rows}
    order = policy.optional_texts("authOrder")
    if order is not None:
        if any(mode not in AUTH_MODES for mode in order):
            raise policy.fail("authOrder", f"unknown auth mode, must be of {_MODES}")
        values["policy"] = {"matrix": rows, "authOrder": list(order)}
    policy.finish()
    return values


def _read_row(fields: Fields) -> JsonObject:
    row: JsonObject = {}
    for mode in fields.names():
        if mode not in AUTH_MODES:
            raise fields.fail(mode, f"unknown auth mode, must be one of {_MODES}")
        cell = fields.fields(mode)
        values: JsonObject = {"allowed": cell.truth("allowed")}
        for key, value in {
            "host": cell.optional_text("host"),
            "model": cell.optional_text("model"),
            "enforce": cell.optional_truth("enforce"),
        }.items():
            if value is not None:
                values[key] = value
        cell.finish()
        row[mode] = values
    return row


def set_policy(document: Document, params: JsonObject) -> Result:
    """Write the one policy anew, whole."""
    path = _path(params)
    policy = _object(params["policy"])
    matrix = _object(policy["matrix"])
    order = policy.get("authOrder")
    if _meaning(document.get(path)) == (matrix, order or []):
        return Unchanged()
    rows: list[tuple[Path, Table]] = [
        (("matrix", row), {mode: _cell(_object(cell)) for mode, cell in _object(cells).items()})
        for row, cells in matrix.items()
    ]
    modes: list[Value] = [str(mode) for mode in order] if isinstance(order, list) else []
    head: list[tuple[Path, Table]] = [((), {"auth_order": modes} if modes else {})] if modes or not rows else []
    return Changed(document.with_entry(path, [*head, *rows]))


def clear(document: Document, params: JsonObject) -> Result:
    """Take out one policy; without a workload, the whole block."""
    path = _path(params) if "workload" in params else _BLOCK
    return Unchanged() if document.get(path) is None else Changed(document.without_entry(path))


def _path(params: JsonObject) -> Path:
    workload = params.get("workload")
    return (*_BLOCK, "default") if workload is None else (*_BLOCK, "workloads", str(workload))


def _meaning(policy: object) -> tuple[object, object] | None:
    """What a policy in the file says, for comparison; None where it is not one. Unknown keys say nothing."""
    if not isinstance(policy, dict) or not isinstance(matrix := policy.get("matrix", {}), dict):
        return None
    rows: dict[str, dict[str, object]] = {}
    for row, cells in matrix.items():
        if not isinstance(cells, dict) or not all(isinstance(cell, dict) for cell in cells.values()):
            return None
        rows[row] = {mode: {key: cell[key] for key in _CELL if key in cell} for mode, cell in cells.items()}
    return rows, policy.get("auth_order", [])


def _object(value: Json) -> JsonObject:
    assert isinstance(value, dict), "checked parameters"
    return value


def _cell(cell: JsonObject) -> Table:
    return {key: value if isinstance(value, bool) else str(value) for key, value in cell.items()}
