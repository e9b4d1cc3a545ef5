"""Whether two TOML values are the same: in type too, and not a number is the same as itself."""

from __future__ import annotations


def same(left: object, right: object) -> bool:
    """Deep comparison. `1`, `1.0` and `true` are three values; the order of keys means nothing."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return False
        for key, value in left.items():
            other = right[key]
            if type(value) is str and type(other) is str:
                if value != other:
                    return False
            elif not same(value, other):
                return False
        return True
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        # Two zeros differ in sign, and all ways to write "not a number" mean the same.
        return repr(left) == repr(right)
    return left == right
