"""The operations there are, and the parameters they take: the platform answers 400 with the same words."""

from __future__ import annotations

import pytest
from tests.support.ops import POLICY, URL

from donmai_daemon.errors import ParamsInvalid, UnsupportedOperation
from donmai_daemon.model.config import AUTH_MODES, WORKLOADS
from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.registry import operation, remote_operations

MODES = "byok, metered, shared, host-session, local"
CELL: JsonObject = {"allowed": True}
LONG = "x" * 513


@pytest.mark.parametrize(
    ("name", "lane", "remote"),
    [
        ("project.add", "config", True),
        ("project.remove", "config", True),
        ("project.enable", "config", True),
        ("project.disable", "config", True),
        ("modelAccess.set", "config", True),
        ("modelAccess.clear", "config", True),
        ("pool.deleted", "host", True),
        ("session.kill", "host", True),
        ("capacity.set", "config", False),
    ],
)
def test_the_operations_there_are(name: str, lane: str, remote: bool) -> None:
    """Every operation has its lane; those of the host lane edit no file, and one is for this machine only."""
    known = operation(name)
    assert (known.name, known.lane, known.remote) == (name, lane, remote)
    assert (known.apply is None) == (lane == "host")
    assert (name in remote_operations()) == remote


@pytest.mark.parametrize("name", ["session.wake", "session.restart-harness", "project.Add", "", 'x"y'])
def test_an_operation_that_this_version_does_not_have(name: str) -> None:
    """The error is word for word what the specification says."""
    with pytest.raises(UnsupportedOperation) as caught:
        operation(name)
    assert str(caught.value) == f'unsupported mutation op "{name}" (upgrade daemon?)'


def _policy(matrix: Json, **more: Json) -> JsonObject:
    return {"policy": {"matrix": matrix, **more}}


@pytest.mark.parametrize(
    ("op", "params", "error"),
    [
        ("project.add", {}, "params.id: is required"),
        ("project.add", {"id": None, "repository": URL}, "params.id: is required"),
        ("project.add", {"id": "a"}, "params.repository: is required"),
        ("project.add", {"id": 7, "repository": URL}, "params.id: must be text"),
        ("project.add", {"id": "", "repository": URL}, "params.id: must not be empty"),
        ("project.add", {"id": "  ", "repository": URL}, "params.id: must not be empty"),
        ("project.add", {"id": "a\n", "repository": URL}, "params.id: must not contain control characters"),
        ("project.add", {"id": "a\x7f", "repository": URL}, "params.id: must not contain control characters"),
        ("project.add", {"id": "a\x85", "repository": URL}, "params.id: must not contain control characters"),
        ("project.add", {"id": "a\u2028", "repository": URL}, "params.id: must not contain control characters"),
        ("project.add", {"id": "\ud800", "repository": URL}, "params.id: must not contain control characters"),
        ("project.add", {"id": LONG, "repository": URL}, "params.id: must not be longer than 512 characters"),
        ("project.add", {"id": "a", "repository": ["x"]}, "params.repository: must be text"),
        ("project.add", {"id": "a", "repository": "https://h/" + LONG}, "params.repository: must not be longer than 512 characters"),
        ("project.add", {"id": "a", "repository": "file:///srv"}, "params.repository: must be an https, ssh or scp-like git URL"),
        ("project.remove", {"id": True}, "params.id: must be text"),
        ("project.enable", {"ID": "a"}, "params.id: is required"),
        ("project.disable", {"id": []}, "params.id: must be text"),
        ("modelAccess.set", {}, "params.policy: is required"),
        ("modelAccess.set", {"policy": None}, "params.policy: is required"),
        ("modelAccess.set", {"policy": []}, "params.policy: must be an object"),
        ("modelAccess.set", {"policy": {}}, "params.policy.matrix: is required"),
        ("modelAccess.set", {"policy": {"matrix": []}}, "params.policy.matrix: must be an object"),
        ("modelAccess.set", {"workload": "no-such", "policy": POLICY}, 'params.workload: unknown workload "no-such"'),
        ("modelAccess.set", {"workload": "default", "policy": POLICY}, 'params.workload: unknown workload "default"'),
        ("modelAccess.set", {"workload": " ", "policy": POLICY}, 'params.workload: unknown workload " "'),
        ("modelAccess.set", {"workload": 1, "policy": POLICY}, "params.workload: must be text"),
        ("modelAccess.set", _policy({"": {}}), "params.policy.matrix.: must have a name"),
        ("modelAccess.set", _policy({"a\tb": {}}), "params.policy.matrix.'a\\tb': must not contain control characters"),
        ("modelAccess.set", _policy({LONG: {}}), f"params.policy.matrix.{'x' * 63}…: must not be longer than 512 characters"),
        ("modelAccess.set", _policy({"x": 1}), "params.policy.matrix.x: must be an object"),
        ("modelAccess.set", _policy({"x": {"BYOK": CELL}}), f"params.policy.matrix.x.BYOK: unknown auth mode, must be one of {MODES}"),
        ("modelAccess.set", _policy({"x": {"byok": True}}), "params.policy.matrix.x.byok: must be an object"),
        ("modelAccess.set", _policy({"x": {"byok": {}}}), "params.policy.matrix.x.byok.allowed: is required"),
        ("modelAccess.set", _policy({"x": {"byok": {"allowed": 1}}}), "params.policy.matrix.x.byok.allowed: must be true or false"),
        ("modelAccess.set", _policy({"x": {"byok": {"allowed": True, "host": 1}}}), "params.policy.matrix.x.byok.host: must be text"),
        ("modelAccess.set", _policy({"x": {"byok": {"allowed": True, "enforce": "x"}}}),
         "params.policy.matrix.x.byok.enforce: must be true or false"),
        ("modelAccess.set", _policy({}, authOrder="byok"), "params.policy.authOrder: must be a list of texts"),
        ("modelAccess.set", _policy({}, authOrder=[1]), "params.policy.authOrder: must be a list of texts that are not empty"),
        ("modelAccess.set", _policy({}, authOrder=["byok", "nope"]), f"params.policy.authOrder: unknown auth mode, must be of {MODES}"),
        ("modelAccess.clear", {"workload": {}}, "params.workload: must be text"),
        ("modelAccess.clear", {"workload": "\0"}, "params.workload: must not contain control characters"),
        ("pool.deleted", {}, "params.poolId: is required"),
        ("pool.deleted", {"poolId": "p", "candidatePoolIds": "q"}, "params.candidatePoolIds: must be a list of texts"),
        ("pool.deleted", {"poolId": "p", "candidatePoolIds": ["q", ""]},
         "params.candidatePoolIds: must be a list of texts that are not empty"),
        ("pool.deleted", {"poolId": "p", "reason": 1}, "params.reason: must be text"),
        ("session.kill", {}, "params.sessionId: is required"),
        ("session.kill", {"sessionId": "s", "reason": "a\x1b[1m"}, "params.reason: must not contain control characters"),
        ("capacity.set", {"key": "max_sessions"}, "params.value: is required"),
        ("capacity.set", {"key": "host", "value": 1}, "params.key: must be max_sessions"),
        ("capacity.set", {"key": "max_sessions", "value": -1}, "params.value: must be a whole number from 0 to 1000"),
        ("capacity.set", {"key": "max_sessions", "value": 1001}, "params.value: must be a whole number from 0 to 1000"),
        ("capacity.set", {"key": "max_sessions", "value": True}, "params.value: must be a whole number from 0 to 1000"),
        ("capacity.set", {"key": "max_sessions", "value": 1.0}, "params.value: must be a whole number from 0 to 1000"),
        ("session.kill", {"sessionId": "s", "more": "x" * 16_384}, "params: must not be larger than 16 KiB"),
        ("session.kill", {"sessionId": "s", "more": "é" * 9_000}, "params: must not be larger than 16 KiB"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(op: str, params: JsonObject, error: str) -> None:
    """What is wrong is said with the field's name, in one line that fits on the wire."""
    with pytest.raises(ParamsInvalid) as caught:
        operation(op).check(params)
    assert str(caught.value) == error
    assert len(error) <= 512
    assert caught.value.field == error.removeprefix("params").partition(": ")[0].removeprefix(".")


def test_parameters_nested_without_end_are_refused() -> None:
    """A value too deep to be read is an error of the parameters, not of the daemon."""
    deep: JsonObject = {}
    for _ in range(100_000):
        deep = {"x": deep}
    with pytest.raises(ParamsInvalid, match="must not be nested more than 64 levels deep"):
        operation("session.kill").check({"sessionId": "s", "more": deep})
    # Taken apart by hand: freeing it in one go would recurse.
    while deep:
        inner = deep["x"]
        assert isinstance(inner, dict)
        deep = inner


@pytest.mark.parametrize(
    ("op", "params", "values", "ignored"),
    [
        ("project.add", {"id": "a", "repository": f" {URL}", "Id": 1, "x": None}, {"id": "a", "repository": URL}, ("Id", "x")),
        ("project.remove", {"id": " a "}, {"id": " a "}, ()),
        ("modelAccess.set", {"workload": "", "policy": {"matrix": {}, "auth_order": []}},
         {"policy": {"matrix": {}}}, ("policy.auth_order",)),
        ("modelAccess.set",
         {"workload": None, "why": 1, "policy": {"matrix": {"x": {"byok": {"allowed": False, "host": "", "note": 1}}}, "authOrder": []}},
         {"policy": {"matrix": {"x": {"byok": {"allowed": False}}}, "authOrder": []}}, ("policy.matrix.x.byok.note", "why")),
        ("modelAccess.clear", {"workload": "anything"}, {"workload": "anything"}, ()),
        ("modelAccess.clear", {}, {}, ()),
        ("pool.deleted", {"poolId": "p", "candidatePoolIds": [], "reason": ""}, {"poolId": "p", "candidatePoolIds": []}, ()),
        ("pool.deleted", {"poolId": "p", "reason": "gone"}, {"poolId": "p", "reason": "gone"}, ()),
        ("session.kill", {"sessionId": "s", "a\nb": 1}, {"sessionId": "s"}, ("'a\\nb'",)),
        ("capacity.set", {"key": "max_sessions", "value": 0}, {"key": "max_sessions", "value": 0}, ()),
    ],
)  # fmt: skip
def test_good_parameters(op: str, params: JsonObject, values: JsonObject, ignored: tuple[str, ...]) -> None:
    """What is known is taken, what is unknown is named at any depth, and what was checked passes the check again."""
    checked = operation(op).check(params)
    assert checked.values == values
    assert checked.ignored == ignored
    assert operation(op).check(checked.values).values == values


def test_every_workload_and_every_mode_is_known() -> None:
    """A policy may be set for each workload, and say something of each mode."""
    policy: JsonObject = {"matrix": {"*": dict.fromkeys(AUTH_MODES, CELL)}, "authOrder": list(AUTH_MODES)}
    for workload in WORKLOADS:
        assert operation("modelAccess.set").check({"workload": workload, "policy": policy}).ignored == ()


def test_the_longest_text_and_the_largest_parameters() -> None:
    """Limits are where they are said to be: 512 characters, 16 KiB."""
    longest, most = "é" * 512, "x" * (16_384 - len('{"sessionId":"s","more":""}'))
    assert operation("project.remove").check({"id": longest}).values == {"id": longest}
    assert operation("session.kill").check({"sessionId": "s", "more": most}).ignored == ("more",)
    with pytest.raises(ParamsInvalid, match="longer than 512"):
        operation("project.remove").check({"id": longest + "é"})
    with pytest.raises(ParamsInvalid, match="larger than 16 KiB"):
        operation("session.kill").check({"sessionId": "s", "more": most + "x"})
