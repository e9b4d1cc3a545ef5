"""Reading the sections in another process."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import psutil
import pytest

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import load, sections
from donmai_daemon.settings.apart import SectionsApart

TABLES = {
    "platform": {"url": "https://platform.test"},
    "capacity": {"max_sessions": "eight"},
    "machine": {"name": date(2026, 11, 24)},
}


def test_it_answers_as_this_process_would() -> None:
    """Values and problems are the same, whatever TOML can hold; one process answers several questions."""
    apart = SectionsApart()
    apart.prepare()
    good = {"platform": {"url": "https://platform.test"}, "agent": {"command": ["run", "it"]}}
    variables = {"DONMAI_CAPACITY__MAX_SESSIONS": "3"}
    try:
        assert apart(good, variables) == sections.read(good, variables)
        assert apart(TABLES, {}) == sections.read(TABLES, {})
    finally:
        apart.release()


def test_load_is_the_same_through_it() -> None:
    """A configuration comes out equal, and a problem keeps its line."""
    apart = SectionsApart()
    document = Document.parse(b'[platform]\nurl = "https://platform.test"\n')
    assert load(document, {}, None, apart).config == load(document, {}).config
    with pytest.raises(ConfigInvalid) as refusal:
        load(Document.parse(b"\n[capacity]\nmax_sessions = true\n"), {}, None, apart)
    assert refusal.value.line == 3


def test_nothing_is_left_of_it() -> None:
    """After release, and after a question that was not prepared for, there is no process."""
    before = psutil.Process().children()
    apart = SectionsApart()
    apart.prepare()
    assert psutil.Process().children() != before
    apart.release()
    apart.release()
    apart({}, {})
    assert psutil.Process().children() == before


@pytest.mark.parametrize("command", [("/no/such/program",), (sys.executable, "-c", "pass")])
def test_where_there_can_be_no_other_process_this_one_reads(command: tuple[str, ...]) -> None:
    """A process that does not start, or ends before it answers, is done without."""
    apart = SectionsApart(command)
    apart.prepare()
    assert apart({"capacity": {"max_sessions": 2}}, {}) == {"capacity": {"max_sessions": 2}}
    apart.release()


def test_the_daemon_itself_never_imports_pydantic() -> None:
    """What `host run` imports and reads at start leaves pydantic out of the process."""
    program = (
        "import sys; from donmai_daemon.compose import daemon; from donmai_daemon.settings.apart import SectionsApart; "
        "from donmai_daemon.ops.document import Document; from donmai_daemon.settings import load; "
        "load(Document.parse(b'[capacity]\\nmax_sessions = 2\\n'), {}, None, SectionsApart()); "
        "print(sorted(m for m in sys.modules if m.startswith('pydantic')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
