"""Draws by the weights that a trainer has set: each task's probability is multiplied by its weight.

A pick is accepted with its weight over the largest one (von Neumann's rejection), and else another
one is made, within bounds. If that takes too long, or if labels have quotas, the call ends early
and its caller chooses by ``distribution``, in one pass over the pool. Both are exact: whether a
call has come to its end is decided before each pick, from those before it.

The twin is ``lua/include/weighted.lua``.
"""

from __future__ import annotations

import numpy as np

from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.quotas import Pick, Shares
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats, Scorer

TRIALS, TRIALS_PER_DRAW = 1024, 16


def distribution(pool: Pool, weights: Floats, scorer: Scorer, base: Floats) -> Floats:
    """Return the probability of every task, from the one without weights and without quotas.

    All are 0 where no task has a weight above 0. Quotas hold for the labels of the others; within a
    label that has one, the tasks share its part by their weights.
    """
    found = base * weights
    if not found.any():  # those of weight above 0 are never drawn without weights
        found = weights.astype(np.float64)
    found = found / max(float(found.sum()), 5e-324)
    if not (scorer.label_share and found.any()):
        return found
    is_left = weights > 0
    left = pool.only(is_left)
    parts = np.bincount(left.label_index, found[is_left], len(pool.labels)).astype(np.float64)
    shares = Shares(left, scorer, parts)
    found[is_left] = shares.distribution(left, found[is_left], weights[is_left])
    return found


class WeightedPick:
    """One call's draws by weights; ``pick`` makes those without."""

    def __init__(
        self, weights: Floats, scorer: Scorer, pick: Pick, stream: RandomStream, count: int
    ) -> None:
        self._weights, self._pick, self._stream = weights, pick, stream
        self._largest = float(weights.max())
        self._is_chosen = bool(scorer.label_share) or self._largest == 0
        self._left = TRIALS + TRIALS_PER_DRAW * count

    @property
    def is_spent(self) -> bool:
        """Whether the rest is left to the next call."""
        return self._pick.is_spent

    def one(self) -> int | None:
        """Return the position of one drawn task."""
        if self._is_chosen:
            self._stream.uniform()  # so that the next call chooses others
            return None
        while self._left > 0 and not self._pick.is_spent:
            self._left -= 1
            position = self._pick.one()
            if position is None:
                return None
            if self._stream.uniform() * self._largest < self._weights[position]:
                return position
        return None
