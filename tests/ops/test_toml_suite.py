"""The toml-test suite (MIT, its licence is in the archive; taken from the source distribution of tomlkit 0.15.2)."""

from __future__ import annotations

import tarfile
from functools import cache
from pathlib import Path

import pytest
from tests.support.ops import POLICY, URL, run

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.lexis import Path as KeyPath
from donmai_daemon.ops.render import Tables

ARCHIVE = Path(__file__).with_name("toml_test.tar.xz")
NEWER = {
    "datetime/no-seconds",
    "inline-table/newline-comment",
    "inline-table/newline",
    "spec-1.1.0/common-12",
    "spec-1.1.0/common-29",
    "spec-1.1.0/common-31",
    "spec-1.1.0/common-34",
    "spec-1.1.0/common-47",
    "string/escape-esc",
    "string/hex-escape",
}
"""Valid in TOML 1.1 only."""


@cache
def cases(kind: str) -> dict[str, bytes]:
    """The documents of one kind, by name."""
    found: dict[str, bytes] = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.name.startswith(f"{kind}/") and (file := archive.extractfile(member)) is not None:
                found[member.name.removeprefix(f"{kind}/").removesuffix(".toml")] = file.read()
    return found


VALID = {name: data for name, data in cases("valid").items() if name not in NEWER}
INVALID = cases("invalid") | {name: data for name, data in cases("valid").items() if name in NEWER}


def variants(data: bytes) -> dict[str, bytes]:
    """The same document with other line ends, with a byte order mark, with an open last line."""
    bare = data.removeprefix(b"\xef\xbb\xbf")
    lf = bare.replace(b"\r\n", b"\n")
    return {
        "as it is": data,
        "CRLF": lf.replace(b"\n", b"\r\n"),
        "mark": b"\xef\xbb\xbf" + bare,
        "open": lf.rstrip(b"\n"),
    }


def tables(values: object, path: KeyPath = ()) -> dict[KeyPath, dict[str, object]]:
    """Every table that is reached through tables alone, by path."""
    if not isinstance(values, dict):
        return {}
    found = {path: values}
    for key, inner in values.items():
        found |= tables(inner, (*path, key))
    return found


def test_the_suite_is_all_there() -> None:
    """The archive holds the suite, and every case that needs TOML 1.1 is in it."""
    assert (len(VALID), len(INVALID)) == (252, 493)
    assert INVALID.keys() >= NEWER


@pytest.mark.parametrize("name", sorted(INVALID))
def test_what_tomllib_refuses_is_refused(name: str) -> None:
    """A document that is not TOML 1.0 is refused, with a place in it that exists."""
    with pytest.raises(ConfigInvalid) as caught:
        Document.parse(INVALID[name])
    line, column = caught.value.line, caught.value.column
    assert line is not None
    assert column is not None
    lines = INVALID[name].split(b"\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1


@pytest.mark.parametrize("name", sorted(VALID))
def test_operations_come_and_go(name: str) -> None:
    """A project and a policy are put into the document and taken out of it again, to the byte."""
    for data in variants(VALID[name]).values():
        document = Document.parse(data)
        added = run(document, "project.add", id="new", repository=URL)
        assert run(added, "project.remove", id="new").data == data
        added = run(document, "modelAccess.set", workload="qa", policy=POLICY)
        assert run(added, "modelAccess.clear", workload="qa").data == data


@pytest.mark.parametrize("name", sorted(VALID))
def test_every_table_can_be_edited(name: str) -> None:
    """In every table of the document an entry comes and goes, a key is written; every table is taken out or written anew."""
    entry: Tables = [((), {"auth_order": ["byok"]}), (("matrix", "*"), {"byok": {"allowed": True}})]
    for data in variants(VALID[name]).values():
        document = Document.parse(data)
        for path, table in tables(document.values).items():
            added = document.with_entry((*path, "new one"), entry)
            added.verify()
            assert added.without_entry((*path, "new one")).data == data
            if not path:
                continue
            document.without_entry(path).verify()
            document.with_entry(path, entry).verify()
            document.with_key(path, "new one", value=True).verify()
            for key, value in table.items():
                if document.position(*path, key) and not is_tables(value):
                    document.with_key(path, key, 7).verify()
                    if isinstance(value, list):
                        document.with_element((*path, key), 'an "element"').verify()


def is_tables(value: object) -> bool:
    """Whether this is a table, or may be an array of tables under headers: no single value to write in its place."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(inner, dict) for inner in value))


@pytest.mark.parametrize("name", sorted(VALID))
def test_every_key_has_a_place(name: str) -> None:
    """The position of every key is one where that key is written."""
    for variant, data in variants(VALID[name]).items():
        document = Document.parse(data)
        lines = data.removeprefix(b"\xef\xbb\xbf").decode().split("\n")
        for path, table in tables(document.values).items():
            for key in table:
                position = document.position(*path, key)
                assert position is not None, (variant, path, key)
                line, column = position
                written = lines[line - 1][column - 1 :]
                assert written.startswith((key, '"', "'")), (variant, path, key, written)
                assert written, (variant, path, key)
