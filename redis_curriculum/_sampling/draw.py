"""Exact draws without a pass over the pool: the reference that the scripts equal bit for bit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from redis_curriculum._sampling.pool import Pool, count_evictable, fresh_share
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._sampling.weights import Positions, weight
from redis_curriculum.errors import EmptyPoolError

if TYPE_CHECKING:
    from redis_curriculum.scorers.learning_progress import LearningProgressConfig

STRATA_FROM_COUNT = 32
"""A call for this many draws or more uses strata at once; below, rejection is tried first."""

TRIALS_BEFORE_STRATA = 64
TRIALS_BEFORE_SHORT = 1024


@dataclass(frozen=True, slots=True)
class Draws:
    """What one call for draws returns.

    Attributes:
        task_ids: The tasks drawn, in order; a task may appear more than once.
        wanted_replacements: How many of the draws are to be served by new tasks instead.
        short: Whether the call gave up early; ask again for the rest. It gives up on eligible tasks
            alone and so favours the others, but hardly ever: where t trials are expected
            (``expected_trials``), once in ``exp(1024 / t)`` of their draws.
    """

    task_ids: list[int]
    wanted_replacements: int
    short: bool


def draw(pool: Pool, hypers: LearningProgressConfig, stream: RandomStream, count: int) -> Draws:
    """Draw ``count`` tasks, independently and with replacement, by ``distribution``.

    First the part of the pool is chosen by its mass, then a task within it. An eligible task is
    found without a pass over the pool: take one at random and accept it with its weight (von
    Neumann's rejection). See ``expected_trials`` for why that ends soon.

    Raises:
        EmptyPoolError: There is no task.
    """
    if len(pool) == 0:
        raise EmptyPoolError("the pool has no tasks to draw from")
    call = _Call(pool, hypers, stream, stratify=count >= STRATA_FROM_COUNT)
    task_ids: list[int] = []
    wanted = 0
    for _ in range(count):
        if call.is_spent:  # decided before the draw begins, so that it favours no task
            return Draws(task_ids, wanted, short=True)
        if call.wants_replacement(wanted):
            wanted += 1
            continue
        position = call.one()
        if position is None:
            return Draws(task_ids, wanted, short=True)
        task_ids.append(int(pool.task_ids[position]))
    return Draws(task_ids, wanted, short=False)


class _Weighing:
    """The eligible tasks of a pool at one moment, and the weight of each, on demand."""

    def __init__(self, pool: Pool, hypers: LearningProgressConfig) -> None:
        self.parts = pool.parts(hypers)
        self.eligible = np.concatenate((self.parts.learning, self.parts.ripe))
        self.hypers = hypers
        self.moments = pool.moments(hypers)
        self.flat = self.moments.flat(hypers)
        # The sorted sets are ordered by the task's own progress alone.
        self.ordered = hypers.pooling == "task" and hypers.performance_bonus_weight == 0
        self._drives = pool.drives(hypers)

    def weight(self, position: int) -> float:
        return weight(float(self._drives[position]), self.moments, self.hypers)

    @cached_property
    def strata(self) -> list[_Stratum]:
        return list(self._strata())

    def _strata(self) -> Iterator[_Stratum]:
        """Cut each sorted set, highest first, into pieces a quarter as long as all before them.

        The first weight of a piece bounds the others, so the pieces envelop the weights; their
        total exceeds that of the weights by at most a quarter, whatever the weights are.
        """
        cumulative = 0.0
        for part in (self.parts.learning, self.parts.ripe):
            descending = part[::-1]
            start = 0
            while start < len(descending):
                size = min(max(1, start // 4), len(descending) - start)
                top = self.weight(descending[start])
                cumulative += size * top
                yield _Stratum(descending[start : start + size], top, cumulative)
                start += size


class _Stratum(NamedTuple):
    positions: Positions
    top: float
    cumulative: float


class _Call:
    """One call for draws: the moments and the strata are computed once for all of them."""

    def __init__(
        self, pool: Pool, hypers: LearningProgressConfig, stream: RandomStream, *, stratify: bool
    ) -> None:
        self._pool = pool
        self._hypers = hypers
        self._stream = stream
        self._weighing = _Weighing(pool, hypers)
        self._stratify = stratify and self._weighing.ordered
        self._trials = 0
        self._share = fresh_share(
            len(self._weighing.parts.fresh), len(self._weighing.eligible), hypers
        )

    @property
    def is_spent(self) -> bool:
        """Whether so many trials were made that the rest is left to the next call."""
        return self._trials >= TRIALS_BEFORE_SHORT

    def wants_replacement(self, wanted: int) -> bool:
        """Whether this draw goes to a new task, given the ``wanted`` before it."""
        rate = self._hypers.replacement_rate
        if rate <= 0 or self._stream.uniform() >= rate:
            return False
        limit = wanted + 1
        return wanted < count_evictable(self._pool, self._weighing.parts, self._hypers, limit)

    def one(self) -> int | None:
        """Return the position of one drawn task, None when the trials ran out."""
        stream, fresh = self._stream, self._weighing.parts.fresh
        rate = self._hypers.rand_task_rate
        if rate > 0 and stream.uniform() < rate:
            r = stream.index(len(self._pool))
            return int(np.concatenate((fresh, self._weighing.eligible))[r])
        explore = self._share == 1
        if 0 < self._share < 1:
            explore = stream.uniform() < self._share
        if explore:
            return int(fresh[stream.index(len(fresh))])
        return self._one_eligible()

    def _one_eligible(self) -> int | None:
        if self._weighing.flat:
            eligible = self._weighing.eligible
            return int(eligible[self._stream.index(len(eligible))])
        if not self._weighing.ordered:
            return self._by_rejection(TRIALS_BEFORE_SHORT)
        if not self._stratify:
            position = self._by_rejection(TRIALS_BEFORE_STRATA)
            if position is not None:
                return position
            self._stratify = True  # once built, the strata serve the rest of the call
        return self._by_strata()

    def _by_rejection(self, trials: int) -> int | None:
        eligible = self._weighing.eligible
        for _ in range(trials):
            self._trials += not self._weighing.ordered
            position = int(eligible[self._stream.index(len(eligible))])
            if self._stream.uniform() < self._weighing.weight(position):
                return position
        return None

    def _by_strata(self) -> int | None:
        stream, strata = self._stream, self._weighing.strata
        total = strata[-1].cumulative
        for _ in range(TRIALS_BEFORE_SHORT):
            v = stream.uniform() * total
            i = bisect_right(strata, v, key=lambda stratum: stratum.cumulative)
            stratum = strata[min(i, len(strata) - 1)]
            if len(stratum.positions) == 1:  # its envelope is exact
                return int(stratum.positions[0])
            position = int(stratum.positions[stream.index(len(stratum.positions))])
            if stream.uniform() * stratum.top < self._weighing.weight(position):
                return position
        return None


def expected_trials(
    pool: Pool, hypers: LearningProgressConfig, *, stratified: bool = False
) -> float:
    """Return the mean number of trials until an eligible task is accepted.

    By rejection it is 1 / mean(w). At temperature 0 it stays below 8 at amplification 10 whatever
    the pool is, since z-scores have mean 0 and deviation 1: a few tasks may stand far above the
    rest, but then the rest is only little below the mean. At a temperature every weight is at
    least 1/2. By strata it is at most 1.25, whatever the weights.
    """
    weighing = _Weighing(pool, hypers)
    if weighing.flat or len(weighing.eligible) == 0:
        return 1.0
    total = math.fsum(weighing.weight(position) for position in weighing.eligible)
    envelope = weighing.strata[-1].cumulative if stratified else len(weighing.eligible)
    return envelope / total
