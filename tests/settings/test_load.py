"""Loading: sections with fixed keys, the environment, and what a second load may skip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.model.config import Agent, Config, Control, Heartbeat, PlatformLink, Project
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import Loaded, load, projects, redacted_values, sections
from donmai_daemon.settings.findings import Findings


def loaded(text: str, environ: Mapping[str, str] | None = None, previous: Loaded | None = None) -> Loaded:
    return load(Document.parse(text.encode()), environ or {}, previous)


def refused(text: str, environ: Mapping[str, str] | None = None) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        loaded(text, environ)
    return caught.value


def test_an_empty_file_means_the_defaults() -> None:
    """Nothing set, nothing warned of, every source is `default`."""
    result = loaded("")
    assert result.config == Config()
    assert result.warnings == ()
    assert set(result.sources.values()) == {"default"}


def test_every_section_is_read() -> None:
    """What the file says arrives in the plain dataclasses, with the types they promise."""
    config = loaded(
        """
        [machine]
        id = "mch_1"
        name = "box"
        region = "eu"
        [platform]
        url = "https://platform.example/base"
        token_file = "/etc/donmai/token"
        ca_file = "~/ca.pem"
        proxy = "http://user:pw@proxy:3128"
        [heartbeat]
        interval_seconds = 5
        [control]
        host = "::1"
        port = 0
        socket = "/run/x.sock"
        [capacity]
        max_sessions = 0
        [admission]
        mode = "all-routed"
        [remote]
        default = "deny"
        ops = { "project.add" = "apply" }
        [agent]
        command = ["agent", "--flag"]
        drain_timeout_seconds = 1.5
        [log]
        level = "debug"
        format = "json"
        """
    ).config
    assert config.machine.id == "mch_1"
    assert config.platform.url == "https://platform.example/base"
    assert config.heartbeat == Heartbeat(5.0)
    assert config.control == Control("::1", 0, "/run/x.sock")
    assert config.capacity.max_sessions == 0
    assert config.admission.mode == "all-routed"
    assert config.remote.consent("project.add") == "apply"
    assert config.remote.consent("project.remove") == "deny"
    assert config.agent == Agent(("agent", "--flag"), 1.5)
    assert config.log.format == "json"


def test_pydantic_models_mirror_the_dataclasses() -> None:
    """A key added to a dataclass is a key that can be set, and the other way round."""
    for section in fields(Config):
        if section.name in {"projects", "model_access"}:
            continue
        model = sections.Sections.model_fields[section.name].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert list(model.model_fields) == [key.name for key in fields(getattr(Config(), section.name))]


@pytest.mark.parametrize(
    ("text", "key", "reason", "line"),
    [
        ('[heartbeat]\ninterval_seconds = "5"', "heartbeat.interval_seconds", "must be a number, not text in quotes", 2),
        ("[heartbeat]\ninterval_seconds = 0.5", "heartbeat.interval_seconds", "must be at least 1", 2),
        ("[heartbeat]\ninterval_seconds = 3601", "heartbeat.interval_seconds", "must be at most 3600", 2),
        ("[heartbeat]\ninterval_seconds = nan", "heartbeat.interval_seconds", "must be a finite number", 2),
        ("[heartbeat]\ninterval_seconds = true", "heartbeat.interval_seconds", "must be a number, not true or false", 2),
        ("\n[control]\nport = 65536", "control.port", "must be at most 65535", 3),
        ("[control]\nport = 80.5", "control.port", "must be a whole number, not a number with a fraction", 2),
        ('[control]\nhost = "0.0.0.0"', "control.host", "must be a loopback address", 2),
        ('[control]\nhost = "box"', "control.host", "must be a loopback address", 2),
        ("[capacity]\nmax_sessions = 1001", "capacity.max_sessions", "must be at most 1000", 2),
        ("[capacity]\nmax_sessions = -1", "capacity.max_sessions", "must be at least 0", 2),
        ('[admission]\nmode = "enumerat"', "admission.mode",
         'must be "enumerated" or "all-routed", not "enumerat"', 2),
        ("[admission]\nmode = 2024-01-01", "admission.mode",
         'must be "enumerated" or "all-routed", not a date or time', 2),
        ('[remote]\ndefault = "maybe"', "remote.default", 'must be "apply" or "deny", not "maybe"', 2),
        ('[remote]\ndefault = "review"', "remote.default", "review is not available in this version", 2),
        ('[remote]\nops = { "project.add" = "review" }', 'remote.ops."project.add"',
         "review is not available in this version", 2),
        ('[remote]\nops = ["project.add"]', "remote.ops",
         'must be a table, like { "project.add" = "deny" }, not a list', 2),
        ('[agent]\ncommand = "run me"', "agent.command", 'must be a list of texts, like ["a", "b"], not text in quotes', 2),
        ('[agent]\ncommand = ["a", 1]', "agent.command[1]", "must be text in quotes, not a whole number", 2),
        ('[machine]\nname = ""', "machine.name", "must not be empty", 2),
        ('[platform]\nallow_insecure = "yes"', "platform.allow_insecure", "must be true or false, not text in quotes", 2),
        ("heartbeat = 3", "heartbeat", "must be a table, not a whole number", 1),
        ("[[heartbeat]]\ninterval_seconds = 3", "heartbeat", "must be a table, not a list", 1),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_in_plain_words(text: str, key: str, reason: str, line: int) -> None:
    """The error names the key, what it must be, and the line; it never falls back to a default."""
    error = refused(text)
    assert (error.key, error.reason) == (key, reason)
    assert error.line == line


def test_the_column_is_that_of_the_key() -> None:
    """Line and column count from one, as editors do."""
    error = refused("[heartbeat]\n  # every\n    interval_seconds = 0\n")
    assert (error.line, error.column) == (3, 5)
    assert str(error) == "line 3, column 5: heartbeat.interval_seconds: must be at least 1"


def test_a_misspelt_choice_is_corrected() -> None:
    """The hint says which choice was probably meant."""
    assert refused('[admission]\nmode = "enumerat"').hint == 'did you mean "enumerated"?'


def test_the_first_problem_is_reported_and_the_rest_are_counted() -> None:
    """First means first in the file, whichever part of the reader found it."""
    error = refused(
        """[projects.alpha]
repositories = 3

[capacity]
max_sessions = "many"

[model_access.default.matrix.anthropic]
byok = {}
"""
    )
    assert error.key == "projects.alpha.repositories"
    assert error.line == 2
    assert error.reason.endswith("(and 2 more problems)")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must not be empty"),
        ("platform.example", "must be an http or https address"),
        ("ftp://platform.example", "must be an http or https address"),
        ("https://", "must be an http or https address"),
        ("https://host:port", "must be an http or https address"),
        ("https://host name", "must be an http or https address"),
        ("http://platform.example", "http sends the tokens in clear and is accepted for loopback addresses only"),
        (
            "http://127.0.0.1.evil.example",
            "http sends the tokens in clear and is accepted for loopback addresses only",
        ),
        ("https://user:secret@platform.example", "must not carry a user or a password"),
        ("https://platform.example?a=b", "must not carry a query or a fragment"),
    ],
)
def test_platform_addresses_that_cannot_be_dialled_are_refused(url: str, reason: str) -> None:
    """The address is checked when it is read, and a secret in it is not repeated in the error."""
    error = refused(f'[platform]\nurl = "{url}"')
    assert error.reason == reason
    assert error.hint
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:7735/", "http://localhost", "https://a.example"]
)
def test_safe_platform_addresses_are_accepted(url: str) -> None:
    """https to anywhere, http to this machine."""
    assert loaded(f'[platform]\nurl = "{url}"').config.platform.url == url


def test_plain_http_can_be_allowed() -> None:
    """`allow_insecure = true` is the machine owner's own decision."""
    config = loaded('[platform]\nurl = "http://platform.example"\nallow_insecure = true').config
    assert config.platform == PlatformLink("http://platform.example", allow_insecure=True)


def test_the_proxy_must_be_an_address() -> None:
    """A proxy that is no http(s) address is refused."""
    assert refused('[platform]\nproxy = "socks5://p:1"').key == "platform.proxy"


def test_unknown_keys_are_warned_of_with_a_suggestion() -> None:
    """At any depth, with the line; they do not refuse the file."""
    text = """[heartbeat]

intervall_seconds = 3
[projcts.alpha]
[projects.beta]
enable = true
"my key" = 1
[model_access]
defualt = {}
[model_access.default]
auth_orders = []
[model_access.default.matrix.anthropic]
byok = { allowed = true, hots = "x" }
"""
    assert set(loaded(text).warnings) == {
        'unknown key "heartbeat.intervall_seconds" (line 3): did you mean "interval_seconds"?',
        'unknown key "projcts" (line 4): did you mean "projects"?',
        'unknown key "projects.beta.enable" (line 6): did you mean "enabled"?',
        'unknown key projects.beta."my key" (line 7)',
        'unknown key "model_access.defualt" (line 9): did you mean "default"?',
        'unknown key "model_access.default.auth_orders" (line 11): did you mean "auth_order"?',
        'unknown key "model_access.default.matrix.anthropic.byok.hots" (line 13): did you mean "host"?',
    }


def test_doubtful_values_are_warned_of() -> None:
    """An operation that does not exist and a path that depends on the working directory are used as they are."""
    result = loaded('[remote]\nops = { "project.ad" = "deny" }\n[platform]\ntoken_file = "token"')
    assert len(result.warnings) == 2
    assert 'no such operation: did you mean "project.add"?' in result.warnings[1]
    assert result.warnings[0].startswith("platform.token_file (line 4): relative path")


def test_paths_begin_at_the_home_directory_of_the_given_environment() -> None:
    """`~/` is resolved here, so that no reader of a path has to."""
    text = '[platform]\ntoken_file = "~/token"\nca_file = "/etc/ca.pem"\n[control]\nsocket = "~/x.sock"'
    first = loaded(text, {"HOME": "/home/ada"})
    assert first.config.platform == PlatformLink(token_file="/home/ada/token", ca_file="/etc/ca.pem")
    assert first.config.control.socket == "/home/ada/x.sock"
    assert first.warnings == ()
    second = loaded(text, {"HOME": "/root"}, first)
    assert second.config.platform.token_file == "/root/token"
    assert len(loaded(text, {}).warnings) == 2


def test_many_warnings_are_counted_not_listed() -> None:
    """One mistake in 3,000 projects does not become 3,000 lines."""
    text = "".join(f"[projects.p{n}]\nenable = true\n" for n in range(150))
    warnings = loaded(text).warnings
    assert len(warnings) == 101
    assert warnings[-1] == "and 50 more warnings"


def test_the_environment_overrides_every_key() -> None:
    """`DONMAI_<SECTION>__<KEY>` wins over the file; text becomes the key's type, lists and tables are JSON."""
    result = loaded(
        '[heartbeat]\ninterval_seconds = 60\n[remote]\nops = { "project.add" = "deny" }\n[machine]\nregion = "eu"',
        {
            "DONMAI_MACHINE__NAME": "12",
            "DONMAI_HEARTBEAT__INTERVAL_SECONDS": "2.5",
            "DONMAI_CONTROL__PORT": "0",
            "DONMAI_PLATFORM__ALLOW_INSECURE": "true",
            "DONMAI_REMOTE__OPS": '{"project.remove": "deny"}',
            "DONMAI_AGENT__COMMAND": '["a", "b c"]',
            "DONMAI_LOG__LEVEL": "",
            "DONMAI_DAEMON_TOKEN": "rsk_live_x",
        },
    )
    assert result.config.machine.name == "12"
    assert result.config.heartbeat.interval_seconds == 2.5
    assert result.config.control.port == 0
    assert result.config.platform.allow_insecure is True
    assert result.config.remote.ops == {"project.remove": "deny"}, "a table is replaced, not merged"
    assert result.config.agent.command == ("a", "b c")
    assert result.config.log.level == "info", "an empty variable counts as unset"
    assert result.warnings == ()
    assert result.sources["heartbeat.interval_seconds"] == "environment"
    assert result.sources["machine.region"] == "file"
    assert result.sources["log.level"] == "default"


def test_only_the_given_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment is not read behind the caller's back."""
    monkeypatch.setenv("DONMAI_CAPACITY__MAX_SESSIONS", "3")
    assert loaded("").config.capacity.max_sessions == 8


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("DONMAI_HEARTBEAT__INTERVAL_SECONDS", "soon", "must be a number"),
        ("DONMAI_CONTROL__PORT", "70000", "must be at most 65535"),
        ("DONMAI_AGENT__COMMAND", "run me", 'must be a list of texts, like ["a", "b"]'),
        ("DONMAI_REMOTE__OPS", '{"a":', 'must be a table, like { "project.add" = "deny" }'),
        ("DONMAI_ADMISSION__MODE", "all", 'must be "enumerated" or "all-routed", not "all"'),
        ("DONMAI_CONTROL__HOST", "0.0.0.0", "must be a loopback address"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, reason: str) -> None:
    """No line of the file is blamed for what the environment says."""
    error = refused("[control]\nport = 1", {name: text})
    assert error.reason == f"{name} {reason}"
    assert error.line is None


def test_variables_that_name_no_key_are_warned_of() -> None:
    """A misspelt override is loud, and so is one for a section that only the file may define."""
    assert loaded("", {"DONMAI_HEARTBEAT__INTERVALL_SECONDS": "3", "DONMAI_PROJECTS__ALPHA": "{}"}).warnings == (
        "environment variable DONMAI_HEARTBEAT__INTERVALL_SECONDS names no setting: "
        'did you mean "DONMAI_HEARTBEAT__INTERVAL_SECONDS"?',
        "environment variable DONMAI_PROJECTS__ALPHA is ignored: "
        "[projects] is read from the file alone, where mutations edit it",
    )


def test_an_overridden_value_of_the_file_is_not_judged() -> None:
    """An override can rescue a daemon whose file holds a wrong value."""
    assert loaded('[control]\nport = "x"', {"DONMAI_CONTROL__PORT": "1"}).config.control.port == 1


def test_a_second_load_reuses_the_unchanged_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an edit of a project pydantic is not asked again; after any other change it is."""
    head = '[heartbeat]\ninterval_seconds = 7\n[odd]\nx = 1\n[log]\nlevl = "debug"\n'
    first = loaded(head)
    with monkeypatch.context() as patch:
        patch.delattr(sections, "read")
        second = loaded(head + "[projects.alpha]", previous=first)
        with pytest.raises(AttributeError):
            loaded(head, {"DONMAI_LOG__LEVEL": "debug"}, previous=second)
        with pytest.raises(AttributeError):
            loaded(head.replace("7", "8"), previous=second)
    assert list(second.config.projects) == ["alpha"]
    assert second.config.heartbeat.interval_seconds == 7
    assert second.warnings == first.warnings
    assert second.sources == {**first.sources, "projects": "file"}
    third = loaded(head, previous=second)
    assert third.config == first.config


def test_projects_that_an_edit_did_not_touch_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is changed, one comes, one goes: nothing else is looked into; with warnings about, everything is."""
    text = "".join(f'[projects.{name}]\nrepositories = ["https://a.example/{name}"]\n' for name in "abc")
    read: list[str] = []
    usual = projects._project

    def noted(name: str, table: object, findings: Findings) -> Project:
        read.append(name)
        return usual(name, table, findings)

    monkeypatch.setattr(projects, "_project", noted)
    document = Document.parse(text.encode())
    first = load(document, {})
    edited = (
        document.without_entry(("projects", "a"))
        .switched(("projects", "b"), on=False)
        .with_entry(("projects", "d"), [((), {})])
    )
    read.clear()
    second = load(edited, {}, first)
    assert read == ["b", "d"]
    assert second.config.projects == load(Document.parse(edited.data), {}).config.projects
    odd = Document.parse(b"[projects.a]\nodd = 1\n[projects.b]\n")
    warned = load(odd, {})
    assert load(odd.switched(("projects", "b"), on=False), {}, warned).warnings == warned.warnings != ()


@pytest.mark.parametrize("change", [("port = 1", "port = 1.0"), ("port = 1", "port = true")])
def test_a_value_of_another_type_is_a_change(change: tuple[str, str]) -> None:
    """What Python takes for equal is not taken over from the load before."""
    text = "[control]\nport = 1\n"
    with pytest.raises(ConfigInvalid):
        loaded(text.replace(*change), previous=loaded(text))


def test_redacted_values_show_no_credentials() -> None:
    """User and password are cut out of every URL, also in repositories; all else is shown as it is."""
    result = loaded(
        """[platform]
proxy = "http://user:pw@proxy:3128"
[projects.alpha]
repositories = ["https://user:pw@github.com/a/b.git", "git@github.com:a/b.git"]
"""
    )
    values = redacted_values(result)
    assert values["platform"] == {
        "url": None, "token_file": None, "allow_insecure": False, "ca_file": None, "proxy": "http://proxy:3128",
    }  # fmt: skip
    assert values["projects"] == {
        "alpha": {
            "id": "alpha", "enabled": True, "primary": None,
            "repositories": ["https://github.com/a/b.git", "git@github.com:a/b.git"],
        }
    }  # fmt: skip
    assert "pw" not in repr(result).replace("pw@", "", 2), "the inputs are not part of the repr"


def test_importing_settings_does_not_import_pydantic() -> None:
    """The cost of pydantic is paid by the first load, not by the import."""
    program = "import sys, donmai_daemon.settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")})  # fmt: skip
    assert not {"pydantic", "pydantic_settings", "pydantic_core"} & set(done.stdout.split())
