"""Documents for the tests of edits: generated ones in every shape TOML allows, and hand-made nasty ones."""

from __future__ import annotations

import itertools
import tomllib

from hypothesis import strategies as st

PROJECT_IDS = ("alpha", "b-2", "dotted.id", "über", 'with "quote', "enabled")
WORKLOADS = ("", "qa", "kg-extraction")

_TOP = st.sampled_from(["projects", "projects", "projects", "model_access", "model_access", "log", "capacity"])
_INNER = st.sampled_from(
    [*PROJECT_IDS, "alpha", "alpha", "repositories", "enabled", "default", "workloads", "qa", "matrix", "*", "x"]
)
_BLANKS = st.sampled_from(["", "", "", " ", "\t", "   "])
_SCALARS = st.sampled_from(
    [
        "true", "false", "1", "+1_0", "0xFF", "1.0", "-0.0", "nan", "inf", "1979-05-27", "1979-05-27 07:32:00",
        "07:32:00", "1979-05-27T00:32:00-07:00", '"text"', "'literal # [x]'", '""', "''", '"esc \\" \\u00e9 \\\\"',
        '"""one line"""', "'''it''s'''", '"""ends in a quote""""', '"""\n[projects.hidden]\n# no comment\n"""',
        "'''\n[projects.alpha]\n'''", '"""a \\\n   b"""',
    ]
)  # fmt: skip


@st.composite
def _key(draw: st.DrawFn, parts: list[str]) -> str:
    dot = draw(st.sampled_from([".", ".", ".", " . ", ". "]))
    return dot.join(draw(_part(part)) for part in parts)


@st.composite
def _part(draw: st.DrawFn, part: str) -> str:
    quoted = '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
    bare = all(c.isascii() and (c.isalnum() or c in "-_") for c in part)
    return (
        draw(st.sampled_from([part, part, quoted, f"'{part}'"]))
        if bare
        else draw(st.sampled_from([quoted, f"'{part}'"]))
    )


@st.composite
def _array(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    elements = draw(st.lists(inner, max_size=3))
    if draw(st.booleans()):
        blank = draw(st.sampled_from(["", " "]))
        last = draw(st.sampled_from(["", ","])) if elements else ""
        return f"[{blank}" + f",{blank}".join(elements) + f"{last}{blank}]"
    indent = draw(st.sampled_from(["", "  ", "\t"]))
    text = "[" + draw(st.sampled_from(["", ' # first, [x] "y"', " "])) + "\n"
    for number, element in enumerate(elements):
        comma = "," if number < len(elements) - 1 or draw(st.booleans()) else ""
        text += indent + element + comma + draw(st.sampled_from(["", "", " # [note", "\n", "\n# 'between"])) + "\n"
    return text + draw(st.sampled_from(["", "  "])) + "]"


@st.composite
def _inline(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    blank = draw(st.sampled_from(["", " ", " ", "  "]))
    keys = draw(st.lists(st.lists(_INNER, min_size=1, max_size=2), max_size=3, unique_by=lambda parts: parts[0]))
    items = [draw(_key(parts)) + draw(st.sampled_from([" = ", "="])) + draw(inner) for parts in keys]
    return "{" + blank + f"{blank},{blank}".join(items) + (blank if items else "") + "}"


_URL = st.sampled_from(['"https://git.example/a.git"', "'https://git.example/b'", '"git@git.example:c.git"'])
_VALUES = st.recursive(
    st.one_of(_SCALARS, _URL), lambda inner: st.one_of(_array(inner), _inline(inner), _inline(inner)), max_leaves=6
)


@st.composite
def _statement(draw: st.DrawFn) -> str:
    parts = draw(st.lists(_INNER, min_size=1, max_size=3))
    if draw(st.booleans()):
        parts = [draw(_TOP), *parts]
    if draw(st.booleans()):
        parts, value = [*parts[:-1], "repositories"], draw(_array(_URL))
    elif draw(st.booleans()):
        parts, value = [*parts[:-1], "enabled"], draw(st.sampled_from(["true", "false"]))
    else:
        value = draw(_VALUES)
    equals = draw(st.sampled_from([" = ", "=", "   = "]))
    return draw(_BLANKS) + draw(_key(parts)) + equals + value + draw(st.sampled_from(["", "", "", " # note", "  "]))


@st.composite
def _header(draw: st.DrawFn) -> str:
    parts = [draw(_TOP), *draw(st.lists(_INNER, max_size=3))]
    key = draw(_BLANKS) + draw(_key(parts)) + draw(_BLANKS)
    header = f"[[{key}]]" if draw(st.integers(0, 7)) == 0 else f"[{key}]"
    return draw(_BLANKS) + header + draw(st.sampled_from(["", "", "", " # [head]", " "]))


_LINES = st.one_of(
    st.sampled_from(["", "", "#", "  # '''", "   ", '# """']).map(str),
    _statement(),
    _statement(),
    _header(),
)


def _good(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Good TOML: random lines of a small vocabulary, those left out that TOML does not allow where they come."""
    text = ""
    numbers = itertools.count()
    for line in draw(st.lists(_LINES, max_size=12)):
        # Comments are numbered, so that a test can tell which of them is gone.
        line = line + str(next(numbers)) if line.lstrip().startswith("#") else line
        if _good(text + line + "\n"):
            text += line + "\n"
    if draw(st.integers(0, 2)) == 0:
        text = text.removesuffix("\n")
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    mark = draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]))
    return mark + text.replace("\n", newline).encode()


NASTY = (
    b"",
    b"\xef\xbb\xbf",
    b"\n",
    b" ",
    b"# only a comment",
    b"# only a comment\n",
    b"\xef\xbb\xbf# mark and comment\r\n\r\n# open",
    b"[log]\nlevel = 'info'",
    b"[log]\r\nlevel = 'info'\r\n",
    b"[log]\r\nlevel = 'info'\nformat = 'auto'\r\n",
    b"[projects]\n",
    b"[projects]",
    b"[projects] # none yet\n# really\n\n# but soon\n[log]\n",
    b"projects = {}\n",
    b"projects = { }",
    b"projects = {  } # c\n",
    b"projects={a={}}\n[log]\n",
    b"projects = { a = { repositories = [\n  'x', # c\n] }, 'b'.enabled = true }\n",
    b"projects.a.enabled = true\nprojects . 'b' . repositories = []\n[log]\nlevel='info'\n",
    b"[projects]\na.enabled = false\nb = { enabled = false }\n\n[log]\n",
    b"[projects.a.deep.er]\nx = 1\n\n[projects.a]\n\n[projects]\ny = {}\n",
    b"  [projects.a]\n    repositories = [\n 'x', # c\n ]\n   ",
    b'\t[ projects . "a" ]\t# spaced\n\trepositories=[ ]\n\n# about log\n[log]\n',
    b"[projects.a]\nrepositories = []\n# belongs to a\n\n# belongs to nobody\n\n# belongs to log\n[log]\n",
    b"[projects.a]\n[projects.b]\n[projects.c]\n# end",
    b"[[projects.a.notes]]\ntext = 'x'\n[[projects.a.notes]]\ntext = 'y'\n\n[[other]]\n[other.sub]\n",
    b"text = '''\n[projects.new]\nenabled = false\n'''\n[projects.a]\nnote = \"\"\"\n[log]\n\"\"\"\n",
    b"[model_access]\n",
    b"model_access = {}",
    b"model_access = { workloads = { qa.auth_order = [] } }\n",
    b"[model_access]\nworkloads = {}\n[log]\n",
    b"[model_access.workloads]\nqa = { matrix = {} }\n\n# next\n[log]\n",
    b"[model_access.workloads.qa.matrix.anthropic]\nbyok = { allowed = false }\n\n[log]\n\n[model_access.workloads.qa]\n",
    b"model_access.workloads.qa.auth_order = ['byok']\n\nmodel_access.workloads.qa.matrix.'*'.local.allowed = true",
    b"a = 1 # [projects.new]\nb = \"# [projects.new]\"\nc = ['''\n[projects.new]\n''', {d = \"]\"}]\n",
    b"odd.nan = nan\nodd.zero = -0.0\nodd.time = 1979-05-27 07:32:00Z\nodd.big = 123456789012345678901234567890\n",
)
"""By hand: what people, editors and other programs leave behind."""
