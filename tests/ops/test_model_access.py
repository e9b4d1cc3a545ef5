"""The operations on model access and on capacity, byte for byte."""

from __future__ import annotations

import pytest
from tests.support.ops import POLICY, edit, result_of, run

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.result import Rejected

DENY: JsonObject = {"matrix": {"anthropic": {"byok": {"allowed": False}}}}
DENIED = b"[model_access.default.matrix.anthropic]\nbyok = { allowed = false }\n"


@pytest.mark.parametrize(
    ("workload", "policy", "text"),
    [
        ("", DENY, DENIED),
        ("kg-extraction", {"matrix": {}, "authOrder": ["byok", "metered"]},
         b'[model_access.workloads.kg-extraction]\nauth_order = ["byok", "metered"]\n'),
        ("qa", {"matrix": {}}, b"[model_access.workloads.qa]\n"),
        ("qa", {"matrix": {"x": {}}}, b"[model_access.workloads.qa.matrix.x]\n"),
        ("", POLICY,
         b'[model_access.default]\nauth_order = ["byok", "metered"]\n\n'
         b"[model_access.default.matrix.anthropic]\nbyok = { allowed = false }\n\n"
         b'[model_access.default.matrix."*"]\n'
         b'local = { allowed = true, host = "h.example", model = "m-1", enforce = true }\n'),
        ("", {"matrix": {"gpt-5.1": {"host-session": {"allowed": True, "host": "", "model": None}}}},
         b'[model_access.default.matrix."gpt-5.1"]\nhost-session = { allowed = true }\n'),
    ],
)  # fmt: skip
def test_a_new_policy(workload: str, policy: Json, text: bytes) -> None:
    """A policy is written in the shape that the configuration documents; its inverse leaves nothing."""
    document = run(Document.parse(b""), "modelAccess.set", workload=workload, policy=policy)
    assert document.data == text
    assert run(document, "modelAccess.clear", workload=workload).data == b""


@pytest.mark.parametrize(
    "data",
    [
        DENIED,
        b"[model_access]\ndefault = { matrix = { anthropic = { byok = { allowed = false } } }, auth_order = [] }\n",
        b"model_access.default.matrix.'anthropic'.byok.allowed = false\n",
        b"[model_access.default]\nnote = 'unknown keys say nothing'\nmatrix.anthropic.byok = { allowed = false, why = 1 }\n",
    ],
)
def test_the_same_policy_changes_nothing(data: bytes) -> None:
    """A policy that says the same, in whatever shape, is success without change."""
    document = Document.parse(data)
    assert run(document, "modelAccess.set", policy=DENY) is document


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # The comment above it stays, what is inside goes, neighbours and their comments stay.
        (
            b"# ours\n[model_access.default]\n# inside\nauth_order = ['local']\n\n"
            b"[model_access.default.matrix.x]\n\n# next\n[log]\n",
            b"# ours\n" + DENIED + b"\n# next\n[log]\n",
        ),
        # Spread over the file, out of order: one entry, where its first table is.
        (
            b"# top\n\n[model_access.default.matrix.x]\n[log]\n# 2\n[model_access.default]\nauth_order=[]\n\n[projects]\n",
            b"# top\n\n" + DENIED + b"[log]\n\n[projects]\n",
        ),
        (b"  [model_access.default]\n    auth_order = ['local']",
         b"  [model_access.default.matrix.anthropic]\n    byok = { allowed = false }"),
        (b"model_access = { default = { auth_order = ['local'] }, workloads = {} } # c\n",
         b"model_access = { default = { matrix = { anthropic = { byok = { allowed = false } } } }, workloads = {} } # c\n"),
        (b"[model_access]\ndefault.auth_order = []\ndefault.matrix.x.byok.allowed = true # c\nworkloads = {}\n",
         b"[model_access]\ndefault.matrix.anthropic.byok = { allowed = false }\nworkloads = {}\n"),
        (b"model_access.default.auth_order = [\n 'local' ] # c\n",
         b"model_access.default.matrix.anthropic.byok = { allowed = false } # c\n"),
        (b"model_access = { default.auth_order = ['local'], default.matrix = {}, workloads = {} }\n",
         b"model_access = { default.matrix.anthropic.byok = { allowed = false }, workloads = {} }\n"),
        (b"[model_access]\ndefault.auth_order = ['local']\n[model_access.default.matrix.x]\n",
         b"[model_access]\n" + DENIED),
        # What is no policy is not the same as one.
        (b"[model_access.default.matrix.anthropic]\nbyok = 5\n", DENIED),
        (b"model_access.default.matrix = 5\n", b"model_access.default.matrix.anthropic.byok = { allowed = false }\n"),
        (b"model_access.default = 5\n", b"model_access.default = { matrix = { anthropic = { byok = { allowed = false } } } }\n"),
    ],
)  # fmt: skip
def test_a_policy_is_replaced_whole(before: bytes, after: bytes) -> None:
    """What was in the policy is gone, what is written is where its first piece was and in the same shape."""
    assert edit(before, "modelAccess.set", policy=DENY) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[model_access]\ndefault.auth_order = ['local']\n", b"[model_access]\ndefault = {}\n"),
        (b"[model_access.default]\nauth_order = ['local']\n", b"[model_access.default]\n"),
        (b"[model_access.default.matrix.x]\nbyok.allowed = true", b"[model_access.default]"),
    ],
)
def test_an_empty_policy_is_a_policy(before: bytes, after: bytes) -> None:
    """A policy that says nothing still stands in the file: for a workload it hides the default."""
    assert edit(before, "modelAccess.set", policy={"matrix": {}}) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"model_access = {}", b'model_access = {workloads.qa = { auth_order = ["byok"], matrix = { x = {} } }}'),
        (b"[model_access]\nworkloads = { merge = {} } # c",
         b'[model_access]\nworkloads = { merge = {}, qa = { auth_order = ["byok"], matrix = { x = {} } } } # c'),
        (b"model_access.workloads.merge = {}\n[log]\n",
         b"model_access.workloads.merge = {}\n[log]\n\n"
         b'[model_access.workloads.qa]\nauth_order = ["byok"]\n\n[model_access.workloads.qa.matrix.x]\n'),
        (b" [model_access.default]\n\n# log\n[log]\n",
         b' [model_access.default]\n\n [model_access.workloads.qa]\n auth_order = ["byok"]\n\n'
         b" [model_access.workloads.qa.matrix.x]\n\n# log\n[log]\n"),
    ],
)  # fmt: skip
def test_a_policy_beside_others(before: bytes, after: bytes) -> None:
    """A new policy stands with its kind, inside an inline table if that is where they are."""
    policy: JsonObject = {"matrix": {"x": {}}, "authOrder": ["byok"]}
    document = run(Document.parse(before), "modelAccess.set", workload="qa", policy=policy)
    assert document.data == after
    assert run(document, "modelAccess.clear", workload="qa").data == before


@pytest.mark.parametrize(
    ("workload", "before", "after"),
    [
        ("", b"[log]\n\n[model_access]\n[model_access.default]\n\n[model_access.workloads.qa]\n", b"[log]\n"),
        ("", b"model_access = 5\n[log]\n", b"[log]\n"),
        ("", b"[[model_access]]\n[log]\n", b"[log]\n"),
        ("qa", b"[model_access.default]\n\n[model_access.workloads.qa]\n", b"[model_access.default]\n"),
        ("no such workload", b"[model_access.workloads.'no such workload']\n[log]\n", b"[log]\n"),
        ("no such workload", b"[model_access.workloads.qa]\n", b"[model_access.workloads.qa]\n"),
        ("qa", b"", b""),
        ("", b"[log]\n", b"[log]\n"),
        (" ", b"[model_access.default]\n", b"[model_access.default]\n"),
    ],
)
def test_clear(workload: str, before: bytes, after: bytes) -> None:
    """Clearing takes out one policy, whatever its name, and the whole block for the empty name only."""
    assert edit(before, "modelAccess.clear", workload=workload) == after


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"model_access = 5\n", "model_access is not a table"),
        (b"[model_access]\nworkloads = []\n", "model_access.workloads is not a table"),
    ],
)
def test_what_is_no_block_is_left_alone(data: bytes, error: str) -> None:
    """Where the file has something else on the way to the policy the operation fails with a reason."""
    assert result_of(Document.parse(data), "modelAccess.set", {"workload": "qa", "policy": DENY}) == Rejected(error)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"[capacity]\nmax_sessions = 3\n"),
        (b"[log]", b"[log]\n\n[capacity]\nmax_sessions = 3"),
        (b"[capacity]\n", b"[capacity]\nmax_sessions = 3\n"),
        (b"[capacity]\n  max_sessions=8 # many\n", b"[capacity]\n  max_sessions=3 # many\n"),
        (b"capacity.max_sessions = 0x10", b"capacity.max_sessions = 3"),
        (b"capacity = { max_sessions = 8 }", b"capacity = { max_sessions = 3 }"),
        (b"capacity = {}", b"capacity = {max_sessions = 3}"),
        (b"capacity.other = 1\n[log]\n", b"capacity.other = 1\ncapacity.max_sessions = 3\n[log]\n"),
        (b"[capacity]\nmax_sessions = 3.0\n", b"[capacity]\nmax_sessions = 3\n"),
        (b"[capacity]\nmax_sessions = +3\n", b"[capacity]\nmax_sessions = +3\n"),
    ],
)
def test_capacity(before: bytes, after: bytes) -> None:
    """The number is written in place of the one that is there, or behind what the section has."""
    assert edit(before, "capacity.set", key="max_sessions", value=3) == after


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"[[capacity]]\n", "capacity is not a table"),
        (b"[capacity.max_sessions]\n", "max_sessions in capacity is written in a way that cannot be edited"),
        (b"capacity.max_sessions.x = 1", "max_sessions in capacity is written in a way that cannot be edited"),
    ],
)
def test_what_is_no_number_of_the_section_is_left_alone(data: bytes, error: str) -> None:
    """Where there is a table in the number's place the operation fails with a reason."""
    assert result_of(Document.parse(data), "capacity.set", {"key": "max_sessions", "value": 3}) == Rejected(error)
