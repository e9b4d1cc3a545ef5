"""What a runner reads out of a session's detail."""

from __future__ import annotations

import pytest

from donmai_daemon.agent.fetch import DEFAULT_BUDGET_SECONDS, DetailUnusable, read_detail
from donmai_daemon.model.json import Json
from donmai_daemon.model.secret import Secret

BEARER = Secret("read_token")
URL: Json = "https://platform.test"


def test_the_detail_cannot_set_this_programs_own_variables() -> None:
    """Nor what is no variable: the rest of `env` reaches the agent."""
    env: Json = {"A": "1", "DONMAI_SESSION_MARK": "x", "DONMAI_X": "", "B=C": "2", "": "3", "N": 4, "Z": "a\0b"}
    assert read_detail({"platformUrl": URL, "env": env}, BEARER).env == {"A": "1"}


@pytest.mark.parametrize("limit", [None, 0, -1, True, "60", float("inf")])
def test_a_budget_that_is_none_is_the_usual_one(limit: Json) -> None:
    """Two hours, where the stage names no number of seconds above zero."""
    budget: Json = {"maxDurationSeconds": limit}
    assert read_detail({"platformUrl": URL, "stageBudget": budget}, BEARER).budget_seconds == DEFAULT_BUDGET_SECONDS


def test_the_details_own_token_comes_first() -> None:
    """The bearer that fetched it stands in where there is none; one that is no token is refused."""
    assert read_detail({"platformUrl": URL, "authToken": "own"}, BEARER).token == Secret("own")
    assert read_detail({"platformUrl": URL, "authToken": ""}, BEARER).token == BEARER
    with pytest.raises(DetailUnusable):
        read_detail({"platformUrl": URL, "authToken": "a b"}, BEARER)
    with pytest.raises(DetailUnusable):
        read_detail({}, BEARER)
