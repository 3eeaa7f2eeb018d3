"""Draws of every task with the same probability. The twins are ``lua/draws/uniform``."""

from __future__ import annotations

import numpy as np

from redis_curriculum._sampling.pool import Parts, Pool
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats, Scorer


def distribution(pool: Pool, scorer: Scorer) -> Floats:  # noqa: ARG001 - all draws share the form
    """Return the probability of every task, shape (n,)."""
    return np.full(len(pool), 1 / max(len(pool), 1))


def pool_weights(pool: Pool, scorer: Scorer) -> Floats:
    """Return each task's weight, shape (n,)."""
    return scorer.weights(pool.statistics)


def chances(pool: Pool, scorer: Scorer) -> Floats:
    """Return the same for every eligible task."""
    return np.ones(int(pool.eligible(scorer).sum()))


class Pick:
    """One call's draws: a rank of the three sorted sets, one after the other."""

    is_spent = False

    def __init__(
        self,
        pool: Pool,  # noqa: ARG002 - all draws share the form
        parts: Parts,
        scorer: Scorer,  # noqa: ARG002
        stream: RandomStream,
        count: int,  # noqa: ARG002
    ) -> None:
        self._order, self._stream = np.concatenate(parts), stream

    def one(self) -> int:
        """Return the position of one drawn task."""
        return int(self._order[self._stream.index(len(self._order))])
