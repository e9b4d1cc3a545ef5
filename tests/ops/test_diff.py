"""The diff in the history: one that `patch` could apply, and cheap on a large file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bounded import bounded

from donmai_daemon.ops.diff import MAX_DIFF_CHARS, unified


@pytest.mark.parametrize(
    ("before", "after", "diff"),
    [
        (b"", b"", ""),
        (b"a\n", b"a\n", ""),
        (b"", b"a\n", "@@ -0,0 +1 @@\n+a\n"),
        (b"a\n", b"", "@@ -1 +0,0 @@\n-a\n"),
        (b"a", b"a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"),
        (b"1\n2\n3\n4\n5\n", b"1\n2\n3\n4\nx\n5\n", "@@ -2,4 +2,5 @@\n 2\n 3\n 4\n+x\n 5\n"),
        (b"1\r\n2\r\n", b"1\r\nx\r\n2\r\n", "@@ -1,2 +1,3 @@\n 1\r\n+x\r\n 2\r\n"),
        (
            b"1\n2\n3\n4\n5\n6\n7\n8\n9\n",
            b"x\n2\n3\n4\n5\n6\n7\n8\ny",
            "@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n\\ No newline at end of file\n",
        ),
        (b"\xff\n", b"\xfe\n\xc3\xa9\n", "@@ -1 +1,2 @@\n-\\xff\n+\\xfe\n+é\n"),
    ],
)
def test_unified(before: bytes, after: bytes, diff: str) -> None:
    """Three lines of context, ranges as `diff -u` writes them, and a word where the last line is open."""
    assert unified(before, after) == ("--- before\n+++ after\n" + diff if diff else "")


_TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", "é"]), max_size=14).map("\n".join)


@given(_TEXTS, _TEXTS, st.sampled_from(["", "\n"]), st.sampled_from(["", "\n"]), _TEXTS, _TEXTS)
@bounded(300)
def test_a_diff_leads_from_one_to_the_other(
    before: str, after: str, old_end: str, new_end: str, head: str, tail: str
) -> None:
    """Taking the lines with a minus out and putting those with a plus in makes the one text the other."""
    old, new = (f"{head}\n{middle}\n{tail}{end}" for middle, end in ((before, old_end), (after, new_end)))
    lines, result, at = old.split("\n"), [], 0
    for line in unified(old.encode(), new.encode()).split("\n")[2:-1]:
        if line.startswith("@@"):
            first, _, count = line.split(" ")[1].removeprefix("-").partition(",")
            start = int(first) - (0 if count == "0" else 1)
            result += lines[at:start]
            at = start
        elif line.startswith("\\"):
            continue
        else:
            if not line.startswith("+"):
                assert lines[at] == line[1:]
                at += 1
            if not line.startswith("-"):
                result.append(line[1:])
    result += lines[at:]
    assert [line for line in result if line] == [line for line in new.split("\n") if line]


def test_patch_understands_it(tmp_path: Path) -> None:
    """The program `git apply` makes the new file from the old one and the diff."""
    before = "".join(f"line {n}\n" for n in range(100))
    after = before.replace("line 7\n", "").replace("line 50\n", "line 50\nnew\n").replace("line 99\n", "last")
    (tmp_path / "file").write_text(before)
    diff = unified(before.encode(), after.encode()).replace("--- before\n+++ after", "--- a/file\n+++ b/file", 1)
    subprocess.run(["git", "apply", "--unsafe-paths", "-"], input=diff.encode(), cwd=tmp_path, check=True)
    assert (tmp_path / "file").read_text() == after


def test_a_small_change_of_a_large_file() -> None:
    """Only the surroundings of the change are looked at, and the line numbers are those of the whole file."""
    before = b"".join(b"line %d\n" % n for n in range(100_000))
    after = before.replace(b"line 70000\n", b"line 70000\nnew\n")
    assert unified(before, after) == (
        "--- before\n+++ after\n@@ -69999,6 +69999,7 @@\n line 69998\n line 69999\n line 70000\n+new\n"
        " line 70001\n line 70002\n line 70003\n"
    )


def test_a_large_change_is_cut() -> None:
    """A file that was replaced altogether is not compared line with line, and its diff stays small."""
    before = b"".join(b"old %d\n" % n for n in range(50_000))
    after = b"".join(b"new %d\n" % n for n in range(50_000))
    diff = unified(before, after)
    assert diff.startswith("--- before\n+++ after\n@@ -1,50000 +1,50000 @@\n-old 0\n")
    assert diff.endswith("…\n")
    assert len(diff) <= MAX_DIFF_CHARS
