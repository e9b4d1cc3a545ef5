"""What a caller without the token does not see."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.control import DIGITS, surface

from donmai_daemon.control.redact import redact
from donmai_daemon.model.json import Json

KEYS = [
    "id",
    "prompt",
    "promptContext",
    "body",
    "systemPromptOverride",
    "env",
    "authToken",
    "requestedBy",
    "mcpServers",
    "headers",
]

values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("see https://me:SECRET@host.test/a"),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(KEYS), children, max_size=4),
    max_leaves=20,
)


def test_every_secret_is_cleared_at_any_depth() -> None:
    """Each named field, wherever it lies, loses its value and keeps its type."""
    session: Json = {
        "sessionId": "s-1",
        "prompt": "do it",
        "promptContext": {"a": 1},
        "prompts": ["x"],
        "body": "text",
        "systemPromptOverride": "be evil",
        "env": {"KEY": "value"},
        "authToken": "jwt",
        "requestedBy": "eve",
        "mcpServers": [
            {"name": "m", "url": "https://u:p@m.test", "env": {"K": "v"}, "headers": {"Authorization": "x"}}
        ],
        "headers": {"kept": "outside mcpServers"},
        "title": "kept",
    }
    assert redact({"deep": [session]}) == {
        "deep": [
            {
                "sessionId": "s-1",
                "prompt": "",
                "promptContext": {},
                "prompts": [],
                "body": "",
                "systemPromptOverride": "",
                "env": {},
                "authToken": "",
                "requestedBy": "",
                "mcpServers": [{"name": "m", "url": "https://m.test", "env": {}, "headers": {}}],
                "headers": {"kept": "outside mcpServers"},
                "title": "kept",
            }
        ]
    }


def test_servers_may_be_listed_by_name() -> None:
    """`mcpServers` as an object hides the same things as a list."""
    assert redact({"mcpServers": {"m": {"headers": {"a": "b"}, "nested": {"headers": ["c"]}}}}) == {
        "mcpServers": {"m": {"headers": {}, "nested": {"headers": []}}}
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host.test/a.git", "https://host.test/a.git"),
        ("https://token@host.test/a.git", "https://host.test/a.git"),
        ("https://me:p@w@host.test/a", "https://host.test/a"),
        ("ssh://git@host.test/a", "ssh://host.test/a"),
        ("fatal: could not read https://me:pw@host.test/a: 403", "fatal: could not read https://host.test/a: 403"),
        ("https://a:b@x.test and https://c:d@y.test", "https://x.test and https://y.test"),
        ('url = "https://me:pw@host.test"\n', 'url = "https://host.test"\n'),
        ("https://host.test/path@2", "https://host.test/path@2"),
        ("https://host.test?mail=a@b.test", "https://host.test?mail=a@b.test"),
        ("git@github.com:acme/a.git", "git@github.com:acme/a.git"),
        ("someone@acme.test", "someone@acme.test"),
        ("https://host.test someone@acme.test", "https://host.test someone@acme.test"),
    ],
)
def test_userinfo_leaves_every_url(text: str, shown: str) -> None:
    """User and password go, in the middle of a text as well; what only looks alike stays."""
    assert redact(text) == shown


@given(values)
def test_redaction_is_complete_and_settled(value: Json) -> None:
    """No secret is left anywhere, and a second redaction changes nothing."""
    once = redact(value)
    assert redact(once) == once
    assert "SECRET" not in str(once)


@pytest.mark.anyio
async def test_only_the_token_shows_secrets(tmp_path: Path) -> None:
    """Who asked for a change, and passwords in URLs, are there for the token and the owner, and for nobody else."""
    paths = [
        "/api/daemon/status", "/api/daemon/stats", "/api/daemon/heartbeat", "/api/daemon/config",
        "/api/daemon/mutations", "/api/daemon/mutations/mut_1", "/api/daemon/doctor", "/metrics", "/openapi.json",
    ]  # fmt: skip
    telling = set(paths) - {"/api/daemon/doctor", "/metrics", "/openapi.json"}
    secrets = (b"hunter2", b"eve@acme.test", b"me:pw@")
    async with surface(tmp_path) as served:
        for path in paths:
            strangers = (await served.ask("GET", path), await served.ask("GET", path, token="f" * 64))
            friends = (await served.ask("GET", path, token=DIGITS), await served.ask("GET", path, unix=True))
            for reply in strangers:
                assert not [secret for secret in secrets if secret in reply.body], path
            for reply in friends:
                assert any(secret in reply.body for secret in secrets) is (path in telling), path
