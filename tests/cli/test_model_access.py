"""`donmai host model-access`: the policy in the file and what it decides, without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.cli import donmai

CONFIG = """\
[model_access.default.matrix.anthropic]
byok = { allowed = false }
shared = { allowed = true, host = "gw.example", model = "m2" }
[model_access.workloads.kg-extraction]
auth_order = ["metered", "byok"]
[model_access.workloads.kg-extraction.matrix."*"]
local = { allowed = true }
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "daemon.toml"
    file.write_text(CONFIG)
    return str(file)


def test_explain_says_what_is_decided_and_why(tmp_path: Path, config: str) -> None:
    """Mode, host, model, what is left and what was dropped, as JSON."""
    done = donmai(
        tmp_path, "host", "model-access", "explain", "--config", config, "--json",
        "--ceiling", "byok,shared", "--company", "anthropic", "--model", "m1",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert {name: told[name] for name in ("authMode", "host", "model", "effective", "dropped")} == {
        "authMode": "shared", "host": "gw.example", "model": "m2", "effective": ["shared"], "dropped": [],
    }  # fmt: skip
    assert told["rulings"] == [
        {"mode": "byok", "verdict": "denied", "cell": "anthropic.byok"},
        {"mode": "shared", "verdict": "allowed", "cell": "anthropic.shared"},
    ]


def test_a_workload_has_its_own_policy(tmp_path: Path, config: str) -> None:
    """The workload's policy decides alone; a cell outside the ceiling is named; unpinned, the host is empty."""
    done = donmai(
        tmp_path, "host", "model-access", "explain", "--config", config, "--json", "--workload", "kg-extraction",
        "--ceiling", "byok,metered", "--company", "anthropic", "--model", "m1",
    )  # fmt: skip
    told = json.loads(done.out)
    assert (told["authMode"], told["host"], told["model"]) == ("metered", "", "m1")
    assert (told["effective"], told["dropped"]) == (["byok", "metered"], ["*.local"])


def test_denied_is_exit_1(tmp_path: Path, config: str) -> None:
    """Nothing left: exit 1, an error with its code as JSON, or one line that names the cell."""
    asked = ("host", "model-access", "explain", "--config", config, "--ceiling", "byok", "--company", "anthropic")
    done = donmai(tmp_path, *asked, "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert told["code"] == "access_denied"
    assert told["error"] == "model access denied: anthropic: denied by anthropic.byok"
    plain = donmai(tmp_path, *asked)
    assert (plain.code, plain.err) == (1, f"error: {told['error']}\n")
    assert "anthropic.byok" in plain.out


def test_a_mode_that_is_none_is_refused(tmp_path: Path, config: str) -> None:
    """A misspelt mode is a usage error, and not an answer about some other question."""
    done = donmai(tmp_path, "host", "model-access", "explain", "--config", config, "--ceiling", "byok,metred")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --ceiling: 'metred' is no auth mode\n")


def test_show_lists_every_cell(tmp_path: Path, config: str) -> None:
    """The default policy and each workload's, as a table and as JSON; without any it says what that means."""
    told = json.loads(donmai(tmp_path, "host", "model-access", "show", "--config", config, "--json").out)
    assert told["default"]["matrix"]["anthropic"]["shared"] == {
        "allowed": True, "host": "gw.example", "model": "m2",
    }  # fmt: skip
    assert told["workloads"]["kg-extraction"] == {
        "matrix": {"*": {"local": {"allowed": True}}}, "authOrder": ["metered", "byok"],
    }  # fmt: skip
    table = donmai(tmp_path, "host", "model-access", "show", "--config", config).out
    assert "kg-extraction: preferred in the order metered, byok" in table
    (tmp_path / "daemon.toml").write_text("")
    assert "no model-access policy" in donmai(tmp_path, "host", "model-access", "show", "--config", config).err
