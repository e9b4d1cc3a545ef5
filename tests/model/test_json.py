"""How deep a value from outside may be: the same on every interpreter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from donmai_daemon.model.json import MAX_NESTING, Json, is_too_deep

VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


def depth(value: Json) -> int:
    """By the definition: a list or an object is one deeper than the deepest thing in it."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(VALUES, st.integers(0, MAX_NESTING), st.booleans())
def test_levels_are_counted(value: Json, around: int, objects: bool) -> None:
    """Whatever it is, and however many lists or objects it is put into."""
    for _ in range(around):
        value = {"x": value} if objects else [value]
    assert is_too_deep(value) == (depth(value) > MAX_NESTING)


@pytest.mark.parametrize("levels", [MAX_NESTING, MAX_NESTING + 1, 100_000])
def test_the_limit_is_counted_without_recursion(levels: int) -> None:
    """The last level that is taken, the first that is not, and what no recursion would come to the end of."""
    value: list[Json] = []
    for _ in range(levels - 1):
        value = [value]
    assert is_too_deep(value) == (levels > MAX_NESTING)
    while value:  # taken apart by hand: freeing it in one go would recurse
        inner = value[0]
        assert isinstance(inner, list)
        value = inner
