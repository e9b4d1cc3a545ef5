"""The operations on projects, byte for byte."""

from __future__ import annotations

import pytest
from tests.support.ops import URL, edit, result_of, run

from donmai_daemon.ops.document import Document
from donmai_daemon.ops.result import Rejected

ONE = b'[projects.a]\nrepositories = ["https://github.com/acme/a.git"]\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b'[projects.new]\nrepositories = ["https://github.com/acme/new.git"]\n'),
        (ONE, ONE + b'\n[projects.new]\nrepositories = ["https://github.com/acme/new.git"]\n'),
        (
            # Behind its kind and what belongs to that, before what belongs to the next.
            b"[projects.a]\n# a's own\n\n# about log\n[log]\n",
            b'[projects.a]\n# a\'s own\n\n[projects.new]\nrepositories = ["https://github.com/acme/new.git"]\n\n# about log\n[log]\n',
        ),
        (
            b"\t[projects.a]\r\n\t\trepositories = []\r\n",
            b'\t[projects.a]\r\n\t\trepositories = []\r\n\r\n\t[projects.new]\r\n\t\trepositories = ["https://github.com/acme/new.git"]\r\n',
        ),
        (
            b"[projects.a]\nrepositories = [\n    'https://x.example/y',\n]\n",
            b"[projects.a]\nrepositories = [\n    'https://x.example/y',\n]\n\n"
            b'[projects.new]\nrepositories = [\n    "https://github.com/acme/new.git",\n]\n',
        ),
        (
            b"[projects.a]\nrepositories = [\n  'https://x.example/y' # no comma\n  ]",
            b"[projects.a]\nrepositories = [\n  'https://x.example/y' # no comma\n  ]\n\n"
            b'[projects.new]\nrepositories = [\n  "https://github.com/acme/new.git"\n  ]',
        ),
        (
            b"[projects.a]\n  [projects.a.deeper]\n  x = 1\n",
            b"[projects.a]\n  [projects.a.deeper]\n  x = 1\n\n"
            b'[projects.new]\nrepositories = ["https://github.com/acme/new.git"]\n',
        ),
        (b"projects = {}\n", b'projects = {new = { repositories = ["https://github.com/acme/new.git"] }}\n'),
        (
            b"projects = { a = {} } # all\n",
            b'projects = { a = {}, new = { repositories = ["https://github.com/acme/new.git"] } } # all\n',
        ),
    ],
)
def test_a_new_project_follows_the_style_of_the_file(before: bytes, after: bytes) -> None:
    """A new project stands behind the others, indented as they are, its list on lines of its own where theirs are."""
    assert edit(before, "project.add", id="new", repository=URL) == after


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("alpha", b"[projects.alpha]\n"),
        ("with.dot", b'[projects."with.dot"]\n'),
        ('a "b" \\', b'[projects."a \\"b\\" \\\\"]\n'),
        ("ünï", '[projects."ünï"]\n'.encode()),
        ("🚀 to", '[projects."🚀 to"]\n'.encode()),
        ("007", b"[projects.007]\n"),
        ("\u202eright to left", b'[projects."\xe2\x80\xaeright to left"]\n'),
    ],
)
def test_any_id_is_a_key(name: str, header: bytes) -> None:
    """An id is written as a bare key where TOML has it so, else in quotes."""
    document = run(Document.parse(b""), "project.enable", id=name)
    assert document.data == header
    assert document.values == {"projects": {name: {}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"['u1']", b"['u1', \"NEW\"]"),
        (b"[ 'u1', ]", b"[ 'u1', \"NEW\", ]"),
        (b"[]", b'["NEW"]'),
        (b"[ ]", b'["NEW" ]'),
        (b"[\n]", b'["NEW"\n]'),
        (b"[\n  'u1',\n]", b"[\n  'u1',\n  \"NEW\",\n]"),
        (b"[\n  'u1'\n]", b"[\n  'u1',\n  \"NEW\"\n]"),
        (b"[\n  'u1' # one\n]", b"[\n  'u1', # one\n  \"NEW\"\n]"),
        (b"[\n  'u1', # one, [two]\n  # 'u0',\n]", b"[\n  'u1', # one, [two]\n  \"NEW\",\n  # 'u0',\n]"),
        (b"[\n  'u1'\n  , 'u2'\n]", b"[\n  'u1'\n  , 'u2', \"NEW\"\n]"),
        (b"[\n  'u1'\n  ,\n]", b"[\n  'u1'\n  ,\n  \"NEW\",\n]"),
        (b"[\n\t'u1', ]", b"[\n\t'u1',\n\t\"NEW\", ]"),
        (b"['u1',\n 'u2'] # end", b"['u1',\n 'u2',\n \"NEW\"] # end"),
        (b"[\r\n  'u1',\r\n]", b"[\r\n  'u1',\r\n  \"NEW\",\r\n]"),
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        b"[projects.a]%srepositories = @%s",
        b"projects.a.repositories = @%s",
        b"projects = { a = { repositories = @ } }%s",
    ],
)
def test_a_repository_joins_the_list_as_it_is_written(around: bytes, before: bytes, after: bytes) -> None:
    """A further URL goes behind the last, on a line of its own where that is, and comments stay where they are."""
    if b"}" in around and b"# end" in before:
        before, after = before.removesuffix(b" # end"), after.removesuffix(b" # end")
    shape = around.replace(b"%s", b"\r\n" if b"\r" in before else b"\n")
    written = after.replace(b"NEW", URL.encode())
    assert edit(shape.replace(b"@", before), "project.add", id="a", repository=URL) == shape.replace(b"@", written)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[projects.a]\n", b'[projects.a]\nrepositories = ["URL"]\n'),
        (b"[projects.a]", b'[projects.a]\nrepositories = ["URL"]'),
        (
            b"[projects.a]\n  note = 1 # n\n\n# next\n[log]\n",
            b'[projects.a]\n  note = 1 # n\n  repositories = ["URL"]\n\n# next\n[log]\n',
        ),
        (b"[projects]\na.note = 1\n[log]", b'[projects]\na.note = 1\na.repositories = ["URL"]\n[log]'),
        (
            b"[projects]\n 'a' . note = 1",
            b"[projects]\n 'a'.repositories = [\"URL\"]".replace(b"[projects]\n", b"[projects]\n 'a' . note = 1\n"),
        ),
        (b"projects = { a = {} }", b'projects = { a = {repositories = ["URL"]} }'),
        (b"projects = {a.note = 1,b = {}}", b'projects = {a.note = 1, a.repositories = ["URL"],b = {}}'),
        (
            b"[projects.a.deep]\nx = 1\n\n[log]\n",
            b'[projects.a.deep]\nx = 1\n\n[projects.a]\nrepositories = ["URL"]\n\n[log]\n',
        ),
        (b"[projects.a]\nenabled = false\n", b'[projects.a]\nrepositories = ["URL"]\n'),
    ],
)
def test_a_first_repository(before: bytes, after: bytes) -> None:
    """A project without a list gets one, in whatever shape it is written; a disabled one is enabled as well."""
    assert edit(before, "project.add", id="a", repository=URL) == after.replace(b"URL", URL.encode())


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/a.git",
        "https://GitHub.com/Acme/A",
        " HTTPS://github.com/acme/a/ ",
        "https://github.com/acme/a.git/",
    ],
)
def test_a_url_that_is_there_in_another_spelling_changes_nothing(url: str) -> None:
    """Adding what is there is success, and the same document."""
    document = Document.parse(ONE)
    assert run(document, "project.add", id="a", repository=url) is document


@pytest.mark.parametrize(
    ("op", "data"),
    [
        ("project.remove", b""),
        ("project.remove", b"[projects.b]\n"),
        ("project.enable", b"[projects.a]\n"),
        ("project.enable", b"[projects.a]\nenabled = true\n"),
        ("project.disable", b"[projects.a]\nenabled = false\n"),
    ],
)
def test_what_is_so_already_is_success_without_change(op: str, data: bytes) -> None:
    """An operation whose effect is there changes nothing, not even a byte's place."""
    document = Document.parse(data)
    assert run(document, op, id="a") is document


@pytest.mark.parametrize(
    ("op", "after"),
    [("project.enable", b"[projects.a]\n"), ("project.disable", b"[projects.a]\nenabled = false\n")],
)
def test_a_project_may_come_before_its_repositories(op: str, after: bytes) -> None:
    """Enabling or disabling a project that is not there writes it down without a repository."""
    assert edit(b"", op, id="a") == after


@pytest.mark.parametrize(
    ("enabled", "disabled"),
    [
        # Nothing written: the line comes and goes.
        (b"[projects.a]\nrepositories = []\n", b"[projects.a]\nrepositories = []\nenabled = false\n"),
        (b"[projects.a]\n# empty\n\n[log]\n", b"[projects.a]\nenabled = false\n# empty\n\n[log]\n"),
        (b"[projects]\na.repositories = []", b"[projects]\na.repositories = []\na.enabled = false"),
        (b"projects = { a = {} }", b"projects = { a = {enabled = false} }"),
        (b"projects = { a.x = 1, b = {} }", b"projects = { a.x = 1, a.enabled = false, b = {} }"),
        (b"[projects.a.deep]\n", b"[projects.a.deep]\n\n[projects.a]\nenabled = false\n"),
        # Something written: turned around where it is.
        (b"[projects.a]\nenabled = true\nx = 1\n", b"[projects.a]\nenabled = false\nx = 1\n"),
        (b"[projects.a]\nx = 1\nenabled=true\n", b"[projects.a]\nx = 1\nenabled=false\n"),
        (b"[projects.a]\nx = 1\nenabled = true # on\n", b"[projects.a]\nx = 1\nenabled = false # on\n"),
        (b"[projects.a]\nx = 1\n'enabled' = true\n", b"[projects.a]\nx = 1\n'enabled' = false\n"),
        (b"[projects]\na.enabled = true\n", b"[projects]\na.enabled = false\n"),
        (b"projects.a = {enabled = true, x = 1}", b"projects.a = {enabled = false, x = 1}"),
        # Written just as disabling would have: a note tells the one from the other.
        (b"[projects.a]\nx = 1\nenabled = true\n", b"[projects.a]\nx = 1\nenabled = false # was true\n"),
        (
            b"[projects.a]\r\nx = 1\r\nenabled = true\r\n",
            b"[projects.a]\r\nx = 1\r\nenabled = false # was true\r\n",
        ),
        (b"[projects.a]\nenabled = true", b"[projects.a]\nenabled = false # was true"),
        (b"projects.a = {x = 1, enabled = true}", b'projects.a = {x = 1, "enabled" = false}'),
    ],
)
def test_off_and_on_again(enabled: bytes, disabled: bytes) -> None:
    """Disabling writes `false` the way the project is written; enabling brings back the bytes from before."""
    assert edit(enabled, "project.disable", id="a") == disabled
    assert edit(disabled, "project.enable", id="a") == enabled


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[projects.a]\nenabled = false\nx = 1\n", b"[projects.a]\nenabled = true\nx = 1\n"),
        (b"[projects.a]\nx = 1\nenabled = false\n", b"[projects.a]\nx = 1\n"),
        # Taken out, the project would be gone with it.
        (b"[projects]\na.enabled = false\n", b"[projects]\na.enabled = true\n"),
    ],
)
def test_a_false_that_a_person_wrote(before: bytes, after: bytes) -> None:
    """Enabling takes the line out where it stands as disabling writes it, and turns it around anywhere else."""
    assert edit(before, "project.enable", id="a") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE.replace(b".a]", b".gone]"), b""),
        (
            b"[log]\n\n# about gone\n[projects.gone]\nx = 1\n\n# about b\n[projects.b]\n",
            b"[log]\n\n# about b\n[projects.b]\n",
        ),
        (
            b"[log]\n\n# about nothing\n\n[projects.gone]\n[projects.b]\n",
            b"[log]\n\n# about nothing\n\n[projects.b]\n",
        ),
        (b"[projects.gone]\nx = 1\n# about b\n[projects.b]\n", b"# about b\n[projects.b]\n"),
        (b"[log]\n[projects.gone]\nx = 1\n# primary = 'x'\n\n# end\n", b"[log]\n# primary = 'x'\n\n# end\n"),
        (b"[log]\n\n[projects.gone] # c\nx = 1 # c\n  # inside\ny = 1\n# below", b"[log]\n# below"),
        (b"[log]\n# about gone\n[projects.gone]", b"[log]"),
        (
            b"# top\n\n[projects.gone.x]\n[log]\n# 2\n[projects.gone.y]\n[projects.b]\n\n[[projects.gone.z]]\n[[projects.gone.z]]\n",
            b"# top\n\n[log]\n[projects.b]\n",
        ),
        (
            b"[projects]\n# mine\ngone.x = 1\n# other\nb = {}\n\ngone.y = 2\nc = {}\n",
            b"[projects]\n# other\nb = {}\nc = {}\n",
        ),
        (b"projects = { gone = {}, b = {} }", b"projects = { b = {} }"),
        (b"projects = { b = {}, gone.x = 1,gone.y = [\n 1, # c\n], c = {} }", b"projects = { b = {}, c = {} }"),
        (b"projects = { b = {}, gone = {} }", b"projects = { b = {} }"),
        (b"projects = {gone = {} }", b"projects = {}"),
        (b"projects.gone = {}\n\n# log\n[log]\n", b"\n# log\n[log]\n"),
        (b"[projects.gone]\nnote = '''\n[projects.b]\n'''\n[projects.c]\n", b"[projects.c]\n"),
        (b"[projects.'gone']\n[ projects . \"gone\" . x ]\n", b""),
    ],
)
def test_a_project_goes_with_all_that_belongs_to_it(before: bytes, after: bytes) -> None:
    """Removing takes every piece with the comment directly above it and one blank line, and nobody else's comment."""
    assert edit(before, "project.remove", id="gone") == after


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"projects = 1\n", "projects is not a table"),
        (b"[[projects]]\nid = 'a'\n", "projects is not a table"),
        (b"[projects]\na = 1\n", "the project is not a table"),
        (b"[projects.a]\nenabled = 'no'\n", "the project's enabled is neither true nor false"),
        (
            b"[projects.a]\nrepositories = 'https://x.example/y'\n",
            "the project's repositories are not a list of URLs",
        ),
        (b"[projects.a]\nrepositories = [1]\n", "the project's repositories are not a list of URLs"),
        (b"[projects.a]\n[[projects.a.repositories]]\n", "the project's repositories are not a list of URLs"),
    ],
)
def test_what_is_no_project_is_left_alone(data: bytes, error: str) -> None:
    """Where the file has something else in the project's place the operation fails with a reason."""
    assert result_of(Document.parse(data), "project.add", {"id": "a", "repository": URL}) == Rejected(error)
