"""Which spaces a learner can use in place of each other."""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import Box, Dict, Tuple


def are_alike(one: Any, other: Any) -> bool:
    """Return whether two spaces are equal, but for the bounds of boxes.

    Shape and dtype of a box decide what a network for it looks like. Of all other spaces
    (``Discrete(n)``) every value does.
    """
    if isinstance(one, Box) and isinstance(other, Box):
        return one.shape == other.shape and one.dtype == other.dtype
    if isinstance(one, Dict) and isinstance(other, Dict):
        return one.keys() == other.keys() and all(are_alike(one[key], other[key]) for key in one)
    if isinstance(one, Tuple) and isinstance(other, Tuple):
        return len(one) == len(other) and all(map(are_alike, one, other))
    return bool(one == other)
