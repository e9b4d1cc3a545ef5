"""How a batch is decided: each mutation for itself, and nothing left behind that the daemon could not run on."""

from __future__ import annotations

import pytest

from donmai_daemon.errors import ConfigInvalid
from donmai_daemon.model.config import Remote
from donmai_daemon.model.json import JsonObject
from donmai_daemon.model.mutation import MutationRecord, MutationRequest
from donmai_daemon.ops import registry
from donmai_daemon.ops.document import Document
from donmai_daemon.ops.result import Changed, Result
from donmai_daemon.runtime.verdicts import Decision, decide, failed, lane_of

EMPTY = Document.parse(b"")


def enable(project: str) -> MutationRecord:
    request = MutationRequest(f"m_{project}", "project.enable", {"id": project}, None, None)
    return MutationRecord(request, "config", "pending", "")


def anything(_document: Document) -> None:
    """The daemon could run on any document."""


def outcomes(decision: Decision) -> dict[str, str]:
    return {verdict.id: verdict.error or verdict.outcome for verdict in decision.verdicts}


def test_the_culprit_fails_alone() -> None:
    """A batch whose end is no valid configuration is decided again, one by one."""

    def no_b(document: Document) -> None:
        if "b" in projects(document):
            raise ConfigInvalid("no b here")

    decision = decide(EMPTY, [enable("a"), enable("b"), enable("c")], Remote(), no_b)
    assert outcomes(decision) == {
        "m_a": "applied",
        "m_b": "the configuration would not be valid: no b here",
        "m_c": "applied",
    }
    assert projects(decision.document) == {"a", "c"}


def projects(document: Document) -> set[str]:
    found = document.values.get("projects")
    return set(found) if isinstance(found, dict) else set()


def test_an_edit_that_says_something_else_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler whose text does not mean what it says it means changes nothing, and fails alone."""
    real = registry.operation("project.enable")

    def lies(document: Document, params: JsonObject) -> Result:
        if params["id"] == "b":
            return Changed(Document(b"", document.data + b"[other]\n", {**document.values, "b": 1}, verified=False))
        assert real.apply is not None
        return real.apply(document, params)

    wrong = registry.Operation(real.name, real.lane, real.check, lies)
    monkeypatch.setattr("donmai_daemon.runtime.verdicts.operation", lambda _name: wrong)
    decision = decide(EMPTY, [enable("a"), enable("b")], Remote(), anything)
    assert outcomes(decision) == {"m_a": "applied", "m_b": "the edit would change more than was asked for"}
    assert decision.document.data == b"[projects.a]\n"


def test_what_no_file_is_needed_for_does_not_wait_for_the_file() -> None:
    """Also an operation that nobody here knows: its refusal is not held back by a broken file."""
    lanes = [lane_of(MutationRequest("m", op, {}, None, None)) for op in ("project.add", "pool.deleted", "x.y")]
    assert lanes == ["config", "host", "host"]


def test_an_error_is_as_long_as_the_platform_takes_it() -> None:
    """512 characters at most."""
    assert failed("m", "x" * 600).error == "x" * 512
