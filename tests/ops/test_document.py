"""Documents: read, placed, verified."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bounded import bounded
from tests.support.ops import POLICY, URL, run
from tests.support.toml_documents import documents

from donmai_daemon.errors import ConfigInvalid, EditRefused
from donmai_daemon.ops import entries, keys
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.equality import same
from donmai_daemon.ops.lexis import Path
from donmai_daemon.ops.outline import Outline


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"a = 1\nb = \n", 2, 5),
        (b"\xef\xbb\xbfa = 1\nb = \n", 2, 5),
        (b"a = 1\r\n  b = !\r\n", 2, 7),
        (b"a = '\xc3\xa9' x\n", 1, 9),
        (b"[a]\n[a]\n", 2, 3),
        (b"a = 'open", 1, 10),
        (b"a = [1,\n", 2, 1),
        (b"a = '''\n\n", 3, 1),
        (b"# \xc3\xa9 \xff\n", 1, 5),
        (b"\n\nkey = '\xe2\x82'\n", 3, 8),
        (b"a = 1\n\x00", 2, 1),
        (b"a = 1\rb = 2\n", 1, 6),
        (b"\xff\xfea\x00", 1, 1),
    ],
)
def test_what_is_not_toml_is_refused_with_its_place(data: bytes, line: int, column: int) -> None:
    """Line and column count from 1, in characters, without the byte order mark."""
    with pytest.raises(ConfigInvalid) as caught:
        Document.parse(data)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")
    assert "(at " not in caught.value.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a = " + b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
        (b"a = " + b"9" * 5_000, "a number is too long"),
    ],
)
def test_what_python_cannot_hold_is_refused(data: bytes, reason: str) -> None:
    """A document beyond the limits of the language is invalid, and no surprise."""
    with pytest.raises(ConfigInvalid) as caught:
        Document.parse(data)
    assert caught.value.reason == reason
    assert caught.value.line is None


def test_a_deep_value_can_stand_beside_an_edit() -> None:
    """What tomllib can still read, an edit can pass by."""
    data = b"a = " + b"[" * 60 + b"{ b = ']' }" + b"]" * 60 + b"\n"
    assert run(Document.parse(data), "project.add", id="a", repository=URL).data.startswith(data)


def test_an_empty_document_is_good() -> None:
    """No bytes at all mean no settings."""
    document = Document.parse(b"")
    assert (document.data, document.values) == (b"", {})
    assert document.position("a") is None
    document.verify()


PLACES = b"""\
top = 1 # \xc3\xa9
  [ projects . "a b" ]
'enabled' = true
deep.er = { x = 1, '\xc3\xa9' = { y = [
  1 ], z = 2 } }
[projects.c.d]
[[list]]
k = 1
[[list]]
k = 2
[late]
[projects]
e.f = 1
"""


@pytest.mark.parametrize(
    ("path", "position"),
    [
        (("top",), (1, 1)),
        (("projects",), (12, 2)),
        (("projects", "a b"), (2, 16)),
        (("projects", "a b", "enabled"), (3, 1)),
        (("projects", "a b", "deep"), (4, 1)),
        (("projects", "a b", "deep", "er"), (4, 6)),
        (("projects", "a b", "deep", "er", "x"), (4, 13)),
        (("projects", "a b", "deep", "er", "é"), (4, 20)),
        (("projects", "a b", "deep", "er", "é", "y"), (4, 28)),
        (("projects", "a b", "deep", "er", "é", "z"), (5, 8)),
        (("projects", "c"), (6, 11)),
        (("projects", "c", "d"), (6, 13)),
        (("list",), (7, 3)),
        (("projects", "e"), (13, 1)),
        (("projects", "e", "f"), (13, 3)),
        (("late",), (11, 2)),
        (("absent",), None),
        (("projects", "a b", "absent"), None),
        (("top", "below"), None),
        ((), None),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_where_a_key_is(path: Path, position: tuple[int, int] | None, mark: bytes, newline: bytes) -> None:
    """The place of a key is where it is defined, or first mentioned, in any shape."""
    assert Document.parse(mark + PLACES.replace(b"\n", newline)).position(*path) == position


def test_places_after_an_edit() -> None:
    """Positions follow the text through edits."""
    document = run(Document.parse(b"[log]\nlevel = 'x'\n"), "project.add", id="a", repository=URL)
    assert document.position("projects", "a", "repositories") == (5, 1)
    assert run(document, "project.remove", id="a").position("projects", "a") is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"a = 1\n", {"a": 1.0}),
        (b"a = 1\n", {"a": True}),
        (b"a = 1\n", {"a": 1, "b": {}}),
        (b"a = [1]\n", {"a": [1, 1]}),
        (b"a = 0.0\n", {"a": -0.0}),
        (b"a = nan\n", {"a": "nan"}),
        (b"a.b = 1\n", {"a": {"b": "1"}}),
        (b"a.b = 'x'\n", {"a": {"b": "y"}}),
        (b"a.b.c = 1\n", {"a": {"b": {"c": 2}}}),
        (b"a = 1979-05-27\n", {"a": "1979-05-27"}),
    ],
)
def test_an_edit_that_means_something_else_is_refused(text: bytes, values: dict[str, object]) -> None:
    """Values that differ in type alone are different values."""
    document = Document(b"", Outline.of(text), values, verified=False)
    with pytest.raises(EditRefused, match="the edit would change more than was asked for"):
        document.verify()
    with pytest.raises(EditRefused):
        document.verify()


def test_an_edit_that_leaves_no_toml_is_refused() -> None:
    """A text that tomllib does not read is never taken for a result."""
    outline = Outline.of(b"a = 1\n").replaced(0, 1, b"a = 1\na = 2\n")
    with pytest.raises(EditRefused, match="the edit would not leave good TOML behind: "):
        Document(b"", outline, {"a": 2}, verified=False).verify()


def test_not_a_number_is_the_same_as_itself() -> None:
    """A document that holds nan can be edited, and its nan is seen to have stayed."""
    document = run(Document.parse(b"a = [nan, { b = -nan }]\n"), "project.add", id="a", repository=URL)
    assert same(document.values["a"], Document.parse(document.data).values["a"])


def test_a_document_is_never_changed() -> None:
    """Edits leave the document they were made on as it was: bytes, meaning, and places."""
    data = b"[projects.a]\nrepositories = []\n\n[model_access.default]\n"
    document = Document.parse(data)
    values = Document.parse(data).values
    for _ in range(2):
        run(document, "project.add", id="a", repository=URL)
        run(document, "project.add", id="b", repository=URL)
        run(document, "project.remove", id="a")
        run(document, "modelAccess.set", policy=POLICY)
        run(document, "modelAccess.clear")
        assert document.data == data
        assert document.values == values
        assert document.position("model_access", "default") == (4, 15)


def test_an_edit_costs_the_edit_and_not_the_file() -> None:
    """Of a document with thousands of projects an edit reads anew the block it is in, and shares all others."""
    text = b"".join(b"[projects.p%d]\nrepositories = ['https://git.example/%d']\n\n" % (n, n) for n in range(3_000))
    outline = Outline.of(text)
    for edited in (
        entries.create(outline, ("projects", "new"), [((), {"x": 1})]),
        entries.remove(outline, ("projects", "p1500")),
        keys.set_key(outline, ("projects", "p7"), "enabled", value=False),
    ):
        fresh = set(edited.blocks) - set(outline.blocks)
        assert len(fresh) <= 2
        assert sum(len(block.text) for block in fresh) < 200


@given(documents())
@bounded(300)
def test_blocks_are_the_text(data: bytes) -> None:
    """Taken apart and put together, a document is the same bytes, and no block begins inside a value."""
    document = Document.parse(data)
    text = data.removeprefix(b"\xef\xbb\xbf")
    outline = Outline.of(text)
    assert b"".join(block.text for block in outline.blocks) == text
    for block in outline.blocks[1:]:
        value: object = document.values
        for part in block.path:
            value = value[-1] if isinstance(value, list) else value
            assert isinstance(value, dict)
            value = value[part]
        assert isinstance(value, list if block.array else dict)


@given(st.binary(max_size=60) | st.text("[]{}=.,#'\"\\\n ab1\r\t", max_size=40).map(str.encode))
@bounded(500)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever the bytes are, they are a document that can be edited, or they are invalid."""
    try:
        document = Document.parse(data)
    except ConfigInvalid:
        return
    added = run(document, "project.enable", id="new")
    assert run(added, "project.remove", id="new").data == data
