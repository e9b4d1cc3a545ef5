"""Routes of mutations: history, and local changes on the same path as remote ones."""

from __future__ import annotations

import json
from collections.abc import Sequence

from donmai_daemon.control.answer import Answer
from donmai_daemon.control.ports import MutationsPort
from donmai_daemon.control.request import Request
from donmai_daemon.control.router import QueryParameter, Route
from donmai_daemon.errors import NotFound, RequestInvalid, WrongState
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.model.mutation import MutationRecord, MutationState

STATES: tuple[MutationState, ...] = ("pending", "review", "settled")
DEFAULT_LIMIT = 100
MAX_LIMIT = 500

_STATE = QueryParameter("state", {"type": "string", "enum": list(STATES)}, "only those in this state")
_LIMIT = QueryParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "at most so many, the newest",
)


def change_routes(port: MutationsPort) -> Sequence[Route]:
    """List, one, submit or preview, approve and reject, capacity."""

    async def known(request: Request) -> MutationRecord:
        record = await port.find(request.params["id"])
        if record is None:
            raise NotFound(f"no mutation {json.dumps(request.params['id'])}")
        return record

    async def recent(request: Request) -> Answer:
        given = request.parameters("state", "limit")
        records = await port.recent(_state(given.get("state")), _limit(given.get("limit")))
        listed: list[Json] = [record.to_json() for record in records]
        return Answer({"mutations": listed})

    async def one(request: Request) -> Answer:
        return Answer((await known(request)).to_json())

    async def submit(request: Request) -> Answer:
        fields = request.fields("op", "params", "dryRun")
        op, params, dry_run = fields.get("op"), fields.get("params"), fields.get("dryRun", False)
        if not isinstance(op, str):
            raise RequestInvalid("op: must be a string")
        if not isinstance(params, dict):
            raise RequestInvalid("params: must be an object")
        if not isinstance(dry_run, bool):
            raise RequestInvalid("dryRun: must be true or false")
        if not dry_run:
            return Answer((await port.submit(op, params, request.caller.name)).to_json(), 202)
        preview = await port.preview(op, params)
        told: JsonObject = {"outcome": preview.outcome, "diff": preview.diff}
        if preview.error is not None:
            told["error"] = preview.error
        return Answer(told)

    async def decide(request: Request) -> Answer:
        request.fields()
        record = await known(request)
        raise WrongState(f"mutation {record.request.id} does not wait for a decision: it is {record.state}")

    async def capacity(request: Request) -> Answer:
        fields = request.fields("key", "value")
        key, value = fields.get("key"), fields.get("value")
        if not isinstance(key, str):
            raise RequestInvalid("key: must be a string")
        if "value" not in fields:
            raise RequestInvalid("value: is missing")
        # The file's own spelling of a key, `capacity.max_sessions`, is as good as the operation's.
        params: JsonObject = {"key": key.removeprefix("capacity."), "value": value}
        record = await port.submit("capacity.set", params, request.caller.name)
        message = f"{key} = {json.dumps(value)} is queued as {record.request.id}"
        return Answer({"ok": True, "message": message})

    one_path = "/api/daemon/mutations/{id}"
    return (
        Route(
            "GET", "/api/daemon/mutations", recent, "History of changes, newest first", {200: "Mutations"},
            refusals=(400,), query=(_STATE, _LIMIT),
        ),
        Route(
            "POST", "/api/daemon/mutations", submit, "Make a local change, or see what it would do",
            {202: "Mutation", 200: "Preview"}, refusals=(400, 409), body="Submission",
        ),
        Route("GET", one_path, one, "One change", {200: "Mutation"}, refusals=(404,)),
        Route("POST", f"{one_path}/approve", decide, "Let a held change happen", {}, refusals=(404, 409)),
        Route("POST", f"{one_path}/reject", decide, "Refuse a held change", {}, refusals=(404, 409)),
        Route(
            "POST", "/api/daemon/capacity", capacity, "Set a capacity key", {200: "Done"},
            refusals=(400, 409), body="CapacityChange",
        ),
    )  # fmt: skip


def _state(given: str | None) -> MutationState | None:
    if given is None:
        return None
    for state in STATES:
        if given == state:
            return state
    raise RequestInvalid(f"query parameter state: must be one of {', '.join(STATES)}")


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_LIMIT
    if given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= MAX_LIMIT:
        return int(given)
    raise RequestInvalid(f"query parameter limit: must be a number from 1 to {MAX_LIMIT}")
