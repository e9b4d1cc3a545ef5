"""The model-access decision: it only ever narrows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from donmai_daemon.access import AccessDenied, Decision, resolve
from donmai_daemon.model.config import AUTH_MODES, AuthMode, Cell, ModelAccess, Policy

MODES = st.sampled_from(AUTH_MODES)
CEILINGS = st.lists(st.one_of(MODES, st.just("telepathy")), max_size=7)
CELLS = st.builds(
    Cell,
    allowed=st.booleans(),
    host=st.sampled_from([None, "", "gw.example"]),
    model=st.sampled_from([None, "m2"]),
    enforce=st.sampled_from([None, True, False]),
)
MATRICES = st.dictionaries(st.sampled_from(["m1", "acme", "*", "other"]), st.dictionaries(MODES, CELLS))
POLICIES = st.builds(Policy, matrix=MATRICES, auth_order=st.lists(MODES, max_size=5).map(tuple))
BLOCKS = st.builds(
    ModelAccess,
    default=st.one_of(st.none(), POLICIES),
    workloads=st.dictionaries(st.sampled_from(["qa", "merge"]), POLICIES),
)
QUESTIONS = st.tuples(
    st.sampled_from(["", "qa", "research"]),
    st.sampled_from(["", "acme", "zeta"]),
    st.sampled_from(["", "m1", "m9"]),
    st.one_of(st.none(), MODES, st.just("telepathy")),
)


def cell(row: str, mode: AuthMode, *, allowed: bool, host: str | None = None, model: str | None = None) -> Policy:
    return Policy({row: {mode: Cell(allowed, host, model)}})


def decide(
    policy: Policy | None, ceiling: Sequence[str], *, requested: str | None = None, workload: str = "qa"
) -> Decision:
    return resolve(ceiling, ModelAccess(default=policy), workload, "acme", "m1", requested)


@given(CEILINGS, BLOCKS, QUESTIONS)
def test_effective_is_a_subsequence_of_the_ceiling(
    ceiling: list[str], block: ModelAccess, question: tuple[str, str, str, str | None]
) -> None:
    """Whatever the policy, what is left is part of the ceiling, in its order, and holds the chosen mode."""
    try:
        decision = resolve(ceiling, block, *question)
    except AccessDenied:
        return
    kept = [mode for mode in dict.fromkeys(ceiling) if mode in decision.effective]
    assert list(decision.effective) == kept
    assert decision.auth_mode in decision.effective
    assert not {name.rpartition(".")[2] for name in decision.dropped} & set(ceiling)


@given(CEILINGS, BLOCKS, QUESTIONS)
def test_without_a_policy_the_ceiling_stands(
    ceiling: list[str], block: ModelAccess, question: tuple[str, str, str, str | None]
) -> None:
    """A policy can only take modes away: what is left with it is left without it."""
    with_policy = effective(ceiling, block, question)
    assert with_policy <= effective(ceiling, ModelAccess(), question)


@given(CEILINGS, BLOCKS, QUESTIONS, MODES)
def test_a_wider_ceiling_never_takes_a_mode_away(
    ceiling: list[str], block: ModelAccess, question: tuple[str, str, str, str | None], extra: AuthMode
) -> None:
    """Monotone in the ceiling: adding a mode to it adds at most that mode to what is left."""
    before = effective(ceiling, block, question)
    after = effective([*ceiling, extra], block, question)
    assert before <= after <= before | {extra}


@given(CEILINGS, POLICIES, QUESTIONS, MODES)
def test_a_further_denial_never_grants_anything(
    ceiling: list[str], policy: Policy, question: tuple[str, str, str, str | None], mode: AuthMode
) -> None:
    """Monotone in the policy: denying a mode in every row leaves the rest exactly as it was."""
    rows = {**{row: dict(cells) for row, cells in policy.matrix.items()}}
    for row in {*rows, "*"}:
        rows.setdefault(row, {})[mode] = Cell(allowed=False)
    denied = Policy(rows, policy.auth_order)
    before = effective(ceiling, ModelAccess(default=policy), question)
    assert effective(ceiling, ModelAccess(default=denied), question) == before - {mode}


def effective(ceiling: list[str], block: ModelAccess, question: tuple[str, str, str, str | None]) -> set[str]:
    try:
        return set(resolve(ceiling, block, *question).effective)
    except AccessDenied:
        return set()


@pytest.mark.parametrize(
    ("matrix", "left"),
    [
        ({"m1": {"byok": False}, "acme": {"byok": True}, "*": {"byok": True}}, False),
        ({"acme": {"byok": False}, "*": {"byok": True}}, False),
        ({"*": {"byok": False}}, False),
        ({"m1": {"byok": True}, "acme": {"byok": False}, "*": {"byok": False}}, True),
        ({"m1": {"shared": False}, "acme": {"byok": False}}, False),
        ({"m9": {"byok": False}, "zeta": {"byok": False}}, True),
        ({}, True),
    ],
)
def test_the_most_specific_cell_decides(matrix: dict[str, dict[AuthMode, bool]], left: bool) -> None:
    """Exact model before company before `*`; a row without a cell for the mode passes the question on."""
    rows = {row: {mode: Cell(allowed) for mode, allowed in cells.items()} for row, cells in matrix.items()}
    assert ("byok" in decide(Policy(rows), ["byok", "metered"]).effective) is left


def test_a_workload_policy_replaces_the_default_whole() -> None:
    """The workload's policy and the default are never merged."""
    block = ModelAccess(
        default=cell("*", "byok", allowed=False), workloads={"qa": cell("*", "metered", allowed=False)}
    )
    assert resolve(["byok", "metered"], block, "qa", "acme", "m1", None).effective == ("byok",)
    assert resolve(["byok", "metered"], block, "merge", "acme", "m1", None).effective == ("metered",)


def test_the_requested_mode_wins_while_it_survives() -> None:
    """The requested mode, else the first surviving of the policy's order, else of the default order."""
    order = Policy({"*": {"byok": Cell(allowed=False)}}, ("byok", "shared"))
    everything = list(AUTH_MODES)
    assert decide(order, everything, requested="local").auth_mode == "local"
    assert decide(order, everything, requested="byok").auth_mode == "shared"
    assert decide(order, everything).auth_mode == "shared"
    assert decide(order, ["local", "metered"]).auth_mode == "metered"


def test_a_surviving_cell_pins_host_and_model() -> None:
    """Host and model of the deciding cell are in the answer; unpinned, host is empty and the model is the one asked for."""
    pinned = decide(cell("*", "byok", allowed=True, host="gw.example", model="m2"), ["byok"])
    assert (pinned.host, pinned.model) == ("gw.example", "m2")
    plain = decide(None, ["byok"])
    assert (plain.host, plain.model, plain.policy) == ("", "m1", None)


def test_a_cell_outside_the_ceiling_is_dropped_by_name() -> None:
    """A cell cannot widen the ceiling; the answer names it."""
    decision = decide(cell("acme", "local", allowed=True), ["byok"])
    assert decision.effective == ("byok",)
    assert decision.dropped == ("acme.local",)


def test_denied_says_which_cell() -> None:
    """Where nothing is left, the error names the cells that took it away."""
    with pytest.raises(AccessDenied, match=r"acme/m1 for qa: denied by \*\.byok") as caught:
        decide(cell("*", "byok", allowed=False), ["byok"])
    assert caught.value.code == "access_denied"


def test_an_empty_ceiling_is_denied() -> None:
    """A platform that allows no mode gets no access, whatever the policy says."""
    with pytest.raises(AccessDenied, match="the platform allows no mode"):
        decide(cell("*", "byok", allowed=True), [])
