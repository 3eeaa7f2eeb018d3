"""How unequal a set of figures is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from redis_curriculum.errors import InvalidInputError


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient of non-negative values: 0 all equal, towards 1 all in one.

    ``G = sum((2 i - n - 1) x_i) / (n sum(x))`` over the sorted values, i from 1 (half the relative
    mean absolute difference). Nothing, or nothing but zeros, is equal: 0.

    Raises:
        InvalidInputError: They are no numbers.
    """
    try:
        x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise InvalidInputError("values", "numbers", values) from None
    total = x.sum()
    if total == 0:
        return 0.0
    rank = np.arange(1, len(x) + 1)
    with np.errstate(invalid="ignore"):  # infinite: NaN, as for NaN
        g = float(((2 * rank - len(x) - 1) * x).sum() / (len(x) * total))
    return max(g, 0.0)  # where all are equal, rounding may leave a little below
