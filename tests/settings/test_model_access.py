"""The section `[model_access]`."""

from __future__ import annotations

import pytest

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.model.config import Cell, ModelAccess, Policy
from donmai_daemon.ops.document import Document
from donmai_daemon.settings import Loaded, load


def loaded(text: str) -> Loaded:
    return load(Document.parse(text.encode()), {})


def test_policies_are_read() -> None:
    """Default and workload policies, rows by model, company or star, cells with all their pins."""
    result = loaded(
        """[model_access.default.matrix.anthropic]
byok = { allowed = false }
host-session = { allowed = true, host = "h", model = "m", enforce = true }
[model_access.default.matrix."*"]
local = { allowed = true }
[model_access.workloads.kg-extraction]
auth_order = ["byok", "metered"]
"""
    )
    assert result.warnings == ()
    assert result.config.model_access == ModelAccess(
        default=Policy(
            {
                "anthropic": {"byok": Cell(False), "host-session": Cell(True, "h", "m", True)},
                "*": {"local": Cell(True)},
            }
        ),
        workloads={"kg-extraction": Policy(auth_order=("byok", "metered"))},
    )


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("model_access = 1", "model_access", "must be a table, not a whole number"),
        ("model_access.default = []", "model_access.default", "must be a table, not a list"),
        ("model_access.workloads = true", "model_access.workloads", "must be a table, not true or false"),
        ("model_access.default.matrix = 1", "model_access.default.matrix", "must be a table, not a whole number"),
        ("model_access.default.matrix.openai = 1", "model_access.default.matrix.openai", "must be a table, not a whole number"),
        ("[model_access.default.matrix.openai]\nbyokk = { allowed = true }", "model_access.default.matrix.openai.byokk",
         "unknown auth mode, must be one of byok, metered, shared, host-session, local"),
        ("[model_access.default.matrix.openai]\nbyok = true", "model_access.default.matrix.openai.byok",
         "must be a table, not true or false"),
        ("[model_access.default.matrix.openai]\nbyok = {}", "model_access.default.matrix.openai.byok.allowed", "is missing"),
        ('[model_access.default.matrix.openai]\nbyok = { allowed = "no" }', "model_access.default.matrix.openai.byok.allowed",
         "must be true or false, not text in quotes"),
        ('[model_access.default.matrix.openai]\nbyok = { allowed = true, enforce = "no" }',
         "model_access.default.matrix.openai.byok.enforce", "must be true or false, not text in quotes"),
        ("[model_access.default.matrix.openai]\nbyok = { allowed = true, host = 1 }",
         "model_access.default.matrix.openai.byok.host", "must be text in quotes, not a whole number"),
        ('[model_access.default.matrix.openai]\nbyok = { allowed = true, model = "" }',
         "model_access.default.matrix.openai.byok.model", "must not be empty"),
        ('[model_access.default]\nauth_order = "byok"', "model_access.default.auth_order",
         "must be a list of auth modes, not text in quotes"),
        ('[model_access.workloads.qa]\nauth_order = ["byok", "meterd"]', "model_access.workloads.qa.auth_order[1]",
         "unknown auth mode, must be one of byok, metered, shared, host-session, local"),
    ],
)  # fmt: skip
def test_wrong_policies_are_refused(text: str, key: str, reason: str) -> None:
    """A policy that cannot be meant refuses the file: read leniently it would allow what was denied."""
    with pytest.raises(ConfigInvalid) as caught:
        loaded(text)
    assert (caught.value.key, caught.value.reason) == (key, reason)
    assert caught.value.line == text.count("\n") + 1


def test_a_misspelt_mode_is_corrected() -> None:
    """The hint says which mode was probably meant."""
    with pytest.raises(ConfigInvalid) as caught:
        loaded("[model_access.default.matrix.openai]\nmeterd = { allowed = true }")
    assert caught.value.hint == 'did you mean "metered"?'


def test_unknown_workloads_are_kept_and_warned_of() -> None:
    """A platform newer than this daemon may know more workloads, so the policy is kept."""
    result = loaded('[model_access.workloads.kg-extracton]\nauth_order = ["byok"]')
    assert "kg-extracton" in result.config.model_access.workloads
    assert result.warnings == (
        'model_access.workloads.kg-extracton (line 1): no such workload: did you mean "kg-extraction"?',
    )


def test_a_mode_named_twice_counts_once() -> None:
    """The order stays that of the first mentions, with a warning."""
    result = loaded('[model_access.default]\nauth_order = ["local", "byok", "local"]')
    assert result.config.model_access.default == Policy(auth_order=("local", "byok"))
    assert len(result.warnings) == 1
