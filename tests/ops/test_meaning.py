"""Whatever the document is like, an operation does what it means, and nothing to what is not its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.bounded import bounded
from tests.support.model_of_ops import Impossible, expected, meaning
from tests.support.ops import POLICY, URL, result_of
from tests.support.toml_documents import NASTY, PROJECT_IDS, WORKLOADS, documents

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.equality import same
from donmai_daemon.ops.result import Changed, Rejected

OTHER_POLICY: JsonObject = {"matrix": {"openai": {"metered": {"allowed": True}}}}
_ids = st.sampled_from(PROJECT_IDS)
_urls = st.sampled_from([URL, "https://git.example/A", "git@git.example:c", "ssh://git@h.example/x.git"])
_workloads = st.sampled_from(WORKLOADS)
_policies: st.SearchStrategy[Json] = st.sampled_from([POLICY, OTHER_POLICY, {"matrix": {}}])


def _operation(
    op: str, **fields: st.SearchStrategy[str] | st.SearchStrategy[Json]
) -> st.SearchStrategy[tuple[str, JsonObject]]:
    return st.tuples(st.just(op), st.fixed_dictionaries(fields))


OPERATIONS = st.one_of(
    _operation("project.add", id=_ids, repository=_urls),
    _operation("project.remove", id=_ids),
    _operation("project.enable", id=_ids),
    _operation("project.disable", id=_ids),
    _operation("modelAccess.set", workload=_workloads, policy=_policies),
    _operation("modelAccess.clear", workload=_workloads),
    _operation("capacity.set", key=st.just("max_sessions"), value=st.integers(0, 1000)),
)


def path_of(op: str, params: JsonObject) -> tuple[str, ...]:
    """The entry an operation is about."""
    if op == "capacity.set":
        return ("capacity",)
    if op.startswith("project."):
        return ("projects", str(params["id"]))
    if params["workload"]:
        return ("model_access", "workloads", str(params["workload"]))
    return ("model_access", "default") if op == "modelAccess.set" else ("model_access",)


def comments(data: bytes) -> list[bytes]:
    """The numbered comments of a generated document, in order."""
    return re.findall(rb"^[ \t]*(#[^\n]*?\d+)\r?$", data, re.MULTILINE)


def lines(data: bytes) -> list[bytes]:
    """The lines that say something."""
    return [line for line in data.splitlines() if line.strip()]


def check(document: Document, op: str, params: JsonObject) -> Document:
    """Apply, and compare with what is meant by it, what is left of it, and what it may not have touched."""
    before = document.data
    result = result_of(document, op, params)
    try:
        meant = expected(document.values, op, params)
    except Impossible:
        assert not isinstance(result, Changed)
        return document
    assert not isinstance(result, Rejected), (before, result)
    assert document.data is before or document.data == before, "an edit leaves the document it was made on alone"
    if not isinstance(result, Changed):
        assert same(meaning(document.values), meaning(meant)), (before, op, params)
        return document
    after = result.document
    after.verify()
    assert same(meaning(after.values), meaning(meant)), (before, after.data)
    assert not isinstance(result_of(after, op, params), Changed), "the second time there is nothing to do"
    assert after.data != before

    # Without the entry, both documents are the same again: nothing beside it has moved.
    path = path_of(op, params)
    left = [d.without_entry(path) if d.get(path) is not None else d for d in (document, after)]
    for d in left:
        d.verify()
    assert lines(left[0].data) == lines(left[1].data), (before, after.data)
    assert comments(after.data) == [c for c in comments(before) if c in comments(after.data)]
    return after


@given(documents(), OPERATIONS)
@bounded(400)
def test_one_operation(data: bytes, operation: tuple[str, JsonObject]) -> None:
    """One operation on a generated document means what a model on plain values says it means."""
    document = check(Document.parse(data), *operation)
    assert same(Document.parse(document.data).values, document.values)


@given(documents(), st.lists(OPERATIONS, min_size=2, max_size=12))
@bounded(80)
def test_sequences(data: bytes, operations: list[tuple[str, JsonObject]]) -> None:
    """A sequence of operations on one document keeps its meaning, step by step."""
    document = Document.parse(data)
    for operation in operations:
        document = check(document, *operation)
    assert same(Document.parse(document.data).values, document.values)


@given(documents(), st.lists(OPERATIONS, min_size=1, max_size=30))
@bounded(60)
def test_batches(data: bytes, operations: list[tuple[str, JsonObject]]) -> None:
    """A batch verified once at its end is the same document as one that is parsed again after every step."""
    batch = Document.parse(data)
    stepwise = data
    for op, params in operations:
        result = result_of(batch, op, params)
        batch = result.document if isinstance(result, Changed) else batch
        step = result_of(Document.parse(stepwise), op, params)
        stepwise = step.document.data if isinstance(step, Changed) else stepwise
        assert batch.data == stepwise
    batch.verify()


@pytest.mark.parametrize("data", NASTY, ids=range(len(NASTY)))
@given(operations=st.lists(OPERATIONS, max_size=6))
@bounded(10)
def test_nasty_documents(data: bytes, operations: list[tuple[str, JsonObject]]) -> None:
    """The hand-made nasty documents take every sequence as well."""
    document = Document.parse(data)
    for operation in operations:
        document = check(document, *operation)
    assert same(Document.parse(document.data).values, document.values)


@given(documents(), st.sampled_from(PROJECT_IDS))
@bounded(200)
def test_off_and_on(data: bytes, name: str) -> None:
    """Disabled and enabled again, a project that was there and enabled is as it was, to the byte."""
    document = Document.parse(data)
    projects = document.values.get("projects")
    project = projects.get(name) if isinstance(projects, dict) else None
    if not isinstance(project, dict) or project.get("enabled", True) is not True:
        return
    off = result_of(document, "project.disable", {"id": name})
    assert isinstance(off, Changed)
    off.document.verify()
    on = result_of(off.document, "project.enable", {"id": name})
    assert isinstance(on, Changed)
    on.document.verify()
    # A header without keys, written behind the tables below it, looks like one of ours and goes.
    assert on.document.data == data or re.search(rb"^\s*\[[^\[\]]*\]\s*$", data, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@given(documents(), st.lists(OPERATIONS, min_size=1, max_size=20))
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_sequences_at_length(data: bytes, operations: list[tuple[str, JsonObject]]) -> None:
    """The same as the short one, for as long as one has patience."""
    document = Document.parse(data)
    for operation in operations:
        document = check(document, *operation)
    assert same(Document.parse(document.data).values, document.values)
