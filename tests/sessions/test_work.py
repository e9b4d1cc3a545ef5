"""Reading polls: one bad item never sinks the others, and whatever can be named is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from donmai_daemon.model.json import Json, JsonObject
from donmai_daemon.sessions.work import PollAnswer, Unusable, WorkItem, read_poll_answer, read_work_item

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("sessionId", "projectId", "repository", "repositoryId", "queuedAt", "resolvedProfile", "workType", "mode")


def read(payload: Json) -> PollAnswer:
    answer = read_poll_answer(payload)
    assert isinstance(answer, PollAnswer), answer
    return answer


@pytest.mark.parametrize("queued_at", [1763964087123, "2026-11-24T06:01:27Z", None, 1.5e12, {}, [1]])
def test_queued_at_may_be_anything(queued_at: Json) -> None:
    """The time of queueing decides nothing here, so no type of it loses the work."""
    assert isinstance(read_work_item({"sessionId": "ses_1", "queuedAt": queued_at}), WorkItem)


def test_a_whole_item_is_read() -> None:
    """Everything that admission decides by comes from its own field."""
    item = read_work_item(
        {
            "sessionId": "ses_1", "claimId": "c1", "projectId": "alpha", "repository": "https://h/a", "repositoryId": "repo-1",
            "requiresRepository": True, "workType": "qa", "mode": "interactive",
            "resolvedProfile": {"provider": "acme", "model": "m1", "authMode": "byok", "allowedAuthModes": ["byok", "new"]},
        }
    )  # fmt: skip
    assert isinstance(item, WorkItem)
    assert (item.session_id, item.claim_id, item.project_id) == ("ses_1", "c1", "alpha")
    assert (item.repository, item.repository_id, item.requires_repository) == ("https://h/a", "repo-1", True)
    assert (item.workload, item.company, item.model, item.requested_mode) == ("qa", "acme", "m1", "byok")
    assert (item.ceiling, item.interactive) == (("byok", "new"), True)


def test_a_bad_item_does_not_sink_the_others() -> None:
    """Good items are read, a bad one with an id is named, one without is told apart."""
    answer = read(
        {
            "work": [
                {"sessionId": "a"},
                {"sessionId": "b", "repository": 7},
                5,
                {"sessionId": "../c"},
                {"sessionId": "d"},
            ]
        }
    )
    assert [item.session_id for item in answer.items] == ["a", "d"]
    assert [item.session_id for item in answer.unusable] == ["b", None, "../c"]


def test_a_claim_without_an_item_is_named() -> None:
    """An id that the platform claimed for us and that no item carries can still be given back."""
    answer = read({"work": [{"sessionId": "a"}, {"id": "b"}], "claimedSessionIds": ["a", "b", 5, "b"]})
    assert answer.claimed_elsewhere == ("b",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("projectId", 5), ("repository", []), ("repositoryId", {}), ("workType", 1), ("claimId", 1),
        ("resolvedProfile", "x"), ("resolvedProfile", {"allowedAuthModes": "byok"}),
        ("resolvedProfile", {"allowedAuthModes": [1]}), ("resolvedProfile", {"model": 1}),
    ],
)  # fmt: skip
def test_what_decides_must_have_its_type(field: str, value: Json) -> None:
    """A limit that cannot be understood must not become no limit: the item is named and not admitted."""
    item = read_work_item({"sessionId": "ses_1", field: value})
    assert isinstance(item, Unusable)
    assert item.session_id == "ses_1"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a b", "a\n", "a\0", "x" * 201, "é"])
def test_ids_that_cannot_name_a_file_are_not_admitted(name: str) -> None:
    """A session id becomes a file name and a path segment."""
    assert isinstance(read_work_item({"sessionId": name}), Unusable)


@pytest.mark.parametrize("payload", [None, [], "x", 5])
def test_an_answer_that_is_no_object_is_none(payload: Json) -> None:
    """Whatever is not a JSON object is no answer to a poll."""
    assert isinstance(read_poll_answer(payload), str)


@given(st.lists(st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON)), max_size=6))
def test_nothing_that_a_list_may_hold_breaks_reading(elements: list[Json]) -> None:
    """Any JSON can be read, and every element ends in exactly one of the two heaps."""
    payload: JsonObject = {"work": [*elements, {"sessionId": "good"}]}
    answer = read(payload)
    assert len(answer.items) + len(answer.unusable) == len(elements) + 1
    assert "good" in {item.session_id for item in answer.items}
