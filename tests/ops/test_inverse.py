"""What an operation created, its inverse takes out to the byte, whatever the document is like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bounded import bounded
from tests.support.ops import POLICY, URL, run
from tests.support.toml_documents import NASTY, documents

from donmai_daemon.model.json import JsonObject
from donmai_daemon.ops.document import Document

EMPTY_POLICY: JsonObject = {"matrix": {}}


def adds_and_removes(document: Document) -> None:
    """Every kind of entry there is, in and out again."""
    for op, params in (
        ("project.add", {"repository": URL}),
        ("project.enable", {}),
        ("project.disable", {}),
    ):
        name = 'new "one"'
        added = run(document, op, id=name, **params)
        assert_one_insertion(document.data, added.data)
        assert run(added, "project.remove", id=name).data == document.data, (document.data, added.data)
    for policy in (POLICY, EMPTY_POLICY):
        # Clearing without a workload takes out the whole block: the inverse only where there was none.
        for workload in ("merge",) if "model_access" in document.values else ("", "merge"):
            added = run(document, "modelAccess.set", workload=workload, policy=policy)
            assert run(added, "modelAccess.set", workload=workload, policy=policy) is added
            assert_one_insertion(document.data, added.data)
            assert run(added, "modelAccess.clear", workload=workload).data == document.data, (
                document.data,
                added.data,
            )


def assert_one_insertion(before: bytes, after: bytes) -> None:
    """`after` is `before` with one stretch of text put in."""
    head = 0
    while head < len(before) and before[head] == after[head]:
        head += 1
    assert after.endswith(before[head:]), (before, after)


@pytest.mark.parametrize("data", NASTY, ids=range(len(NASTY)))
def test_created_and_removed_leaves_the_same_bytes(data: bytes) -> None:
    """On hand-made nasty documents: in is one stretch of text, out is the bytes from before, the meaning too."""
    document = Document.parse(data)
    adds_and_removes(document)
    assert document.data == data


@pytest.mark.parametrize(
    "ending",
    [
        b"",
        b"\n",
        b"\n\n\n",
        b"   ",
        b"\n   ",
        b"\r\n",
        b"\r\n\r\n",
        b"\n\t\n",
        b"# c",
        b"\n# c\n",
        b"\n\n# c  ",
        b" # c\r\n",
    ],
)
@pytest.mark.parametrize(
    "beginning", [b"", b"\xef\xbb\xbf", b"# top\n", b"\n", b"[log]\nlevel = 'info'", b"[projects.a]"]
)
def test_every_kind_of_last_line(beginning: bytes, ending: bytes) -> None:
    """The state of the last line is kept on the way in and comes back on the way out."""
    document = Document.parse(beginning + ending)
    adds_and_removes(document)
    added = run(document, "project.add", id="new", repository=URL).data
    if document.data not in (b"", b"\xef\xbb\xbf"):
        assert added.endswith(b"\n") == document.data.endswith(b"\n")


@given(documents(), st.booleans())
@bounded(120)
def test_generated_documents(data: bytes, policies: bool) -> None:
    """On generated documents an entry that was not there comes and goes without a trace."""
    document = Document.parse(data)
    projects = document.values.get("projects", {})
    if isinstance(projects, dict) and not policies:
        added = run(document, "project.add", id="new one", repository=URL)
        assert_one_insertion(data, added.data)
        assert run(added, "project.remove", id="new one").data == data
    block = document.values.get("model_access", {})
    workloads = block.get("workloads", {}) if isinstance(block, dict) else None
    if isinstance(workloads, dict) and policies:
        added = run(document, "modelAccess.set", workload="merge", policy=POLICY)
        assert_one_insertion(data, added.data)
        assert run(added, "modelAccess.clear", workload="merge").data == data


@given(
    documents(),
    st.lists(st.text("ab.\"'\\ é🚀", min_size=1, max_size=4).filter(str.strip), unique=True, max_size=4),
)
@bounded(120)
def test_many_created_removed_in_any_order(data: bytes, names: list[str]) -> None:
    """Several entries with awkward ids, taken out in the reverse order or in the same one, leave the same bytes."""
    start = document = Document.parse(data)
    projects = start.values.get("projects", {})
    names = [f"new {name}" for name in names]
    if not isinstance(projects, dict):
        return
    for name in names:
        document = run(document, "project.add", id=name, repository=URL)
    for order in (names, names[::-1]):
        undone = document
        for name in order:
            undone = run(undone, "project.remove", id=name)
        assert undone.data == data
