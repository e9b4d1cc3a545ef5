"""`donmai mutation enqueue`: from options to one order for the platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from donmai_daemon.cli.admin_target import admin_client, host_id
from donmai_daemon.cli.queue import say_queued
from donmai_daemon.cli.when import moment
from donmai_daemon.errors import UsageError
from donmai_daemon.model.json import Json, JsonObject, text_or_none

if TYPE_CHECKING:
    from argparse import Namespace

    from donmai_daemon.cli.console import Console

_TEXTS = {
    "id": "id", "repository": "repository", "workload": "workload", "pool_id": "poolId",
    "session_id": "sessionId", "reason": "reason",
}  # fmt: skip
"""Options that are a parameter of the operation as they stand."""


def enqueue(arguments: Namespace, console: Console) -> int:
    """Queue it and say under which id. Raises as `AdminClient.enqueue`, and `UsageError`."""
    params = parameters(arguments)
    not_before = arguments.not_before
    if not_before is not None and moment(not_before) is None:
        raise UsageError(f"--not-before {not_before}: not a time", hint="write it like 2026-12-01T08:00:00Z")
    client = admin_client(arguments, console)
    order: JsonObject = {"workerHostId": host_id(arguments, client), "op": arguments.op, "params": params}
    if not_before is not None:
        order["notBefore"] = not_before
    mutation = client.enqueue(order)
    host = text_or_none(mutation, "workerHostId") or "?"
    return say_queued(arguments, console, mutation, f"{arguments.op} queued for {host}")


def parameters(arguments: Namespace) -> JsonObject:
    """The operation's params. The platform validates them with the code the daemon uses. Raises `UsageError`."""
    params: JsonObject = {}
    if arguments.params is not None:
        given = _json("--params", arguments.params)
        if not isinstance(given, dict):
            raise UsageError("--params: not a JSON object")
        params.update(given)
    for pair in arguments.param:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--param {pair}: write it NAME=VALUE")
        params[name] = value
    for option, name in _TEXTS.items():
        value = getattr(arguments, option)
        if value is not None:
            params[name] = value
    if arguments.policy is not None:
        params["policy"] = _json("--policy", arguments.policy)
    if arguments.candidate_pool_id is not None:
        params["candidatePoolIds"] = list(arguments.candidate_pool_id)
    return params


def _json(option: str, text: str) -> Json:
    """The JSON in `text`, or in the file it names as `@FILE`."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{option} {text}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    try:
        value: Json = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option}: not JSON: {error}", hint="quote it for the shell, or use @FILE") from error
    return value
