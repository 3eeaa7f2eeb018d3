"""Draws by the sigmoid of the weights' z-scores.

Tasks with few results get a share of the draws. Among the others, a task is found without a pass
over the pool: take one at random and accept it with its weight (von Neumann's rejection). Mean and
standard deviation come from integers that are kept up to date one task at a time without ever
losing a bit. The twins are ``lua/draws/sigmoid``; both agree bit for bit, so the order of every
floating-point operation is part of the contract.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from redis_curriculum._sampling.pool import Parts, Pool, Positions
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats, Number
from redis_curriculum.scorers.drawing import SigmoidDraws

STRATA_FROM_COUNT = 32
"""A call for this many draws or more uses strata at once; below, rejection is tried first."""

TRIALS_BEFORE_STRATA = 64
TRIALS_BEFORE_SHORT = 1024


def fixed(y: Number) -> Number:
    """Return a weight (0 <= y < 4) as a whole number of 2**-40, an integer-valued float < 2**42.

    Floats added and removed one at a time drift; whole numbers do not.
    """
    return np.floor(y * 1099511627776.0 + 0.5)  # type: ignore[no-any-return]  # a ufunc is Any


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums of the fixed-point weights of the eligible tasks and of their squares.

    A weight's square has up to 84 bits, more than a double or Redis's 64-bit integers hold, so the
    weight is split: a = hi * 2**21 + lo, hence a*a = hi*hi * 2**42 + hi*lo * 2**22 + lo*lo. Each of
    the four sums fits 63 bits for pools up to two million tasks.
    """

    s: int = 0
    q0: int = 0
    q1: int = 0
    q2: int = 0

    def add(self, y: float, count: int = 1) -> Sums:
        """Return the sums with ``count`` tasks of weight ``y`` more (or fewer, if negative)."""
        a = int(fixed(y))
        hi, lo = divmod(a, 2097152)
        return Sums(
            self.s + count * a,
            self.q0 + count * lo * lo,
            self.q1 + count * hi * lo,
            self.q2 + count * hi * hi,
        )

    @classmethod
    def of(cls, weights: Floats) -> Sums:
        """Return the sums over many weights, shape (n,)."""
        a = fixed(weights).astype(np.int64)
        hi, lo = a >> 21, a & 2097151
        return cls(int(a.sum()), int((lo * lo).sum()), int((hi * lo).sum()), int((hi * hi).sum()))


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation of the fixed-point weights over the eligible tasks.

    ``equal`` says that they differ by less than rounding can tell; then all are drawn alike.
    """

    mean: float
    std: float
    equal: bool

    @classmethod
    def of(cls, sums: Sums, n: int) -> Moments:
        """Return the moments of ``n`` eligible tasks; of none, they are 0 and equal."""
        if n == 0:
            return cls(0.0, 0.0, equal=True)
        mean = float(sums.s) / n
        square = float(sums.q2) * 4398046511104.0 + float(sums.q1) * 4194304.0 + float(sums.q0)
        variance = square / n - mean * mean
        if variance <= mean * mean * 1e-14:
            return cls(mean, 0.0, equal=True)
        return cls(mean, math.sqrt(variance), equal=False)

    def flat(self, scorer: SigmoidDraws) -> bool:
        """Whether all eligible tasks are drawn alike."""
        return scorer.temperature == 0 and (self.equal or scorer.z_score_amplification == 0)


def acceptance(y: float, moments: Moments, scorer: SigmoidDraws) -> float:
    """Return the chance in [0, 1] that an eligible task of weight ``y`` is accepted.

    The C library's ``exp``, as in Lua: NumPy's may differ in the last bit, and so would a draw.
    """
    if moments.flat(scorer):
        return 1.0
    try:
        return float(1 / (1 + math.exp(-_log_odds(y, moments, scorer))))
    except OverflowError:
        return 0.0


def acceptances(weights: Floats, moments: Moments, scorer: SigmoidDraws) -> Floats:
    """Return the chances of many tasks, shape (n,); each within an ulp of ``acceptance``."""
    if moments.flat(scorer):
        return np.ones(len(weights))
    with np.errstate(over="ignore", under="ignore"):
        return 1 / (1 + np.exp(-_log_odds(weights, moments, scorer)))


def _log_odds(y: Number, moments: Moments, scorer: SigmoidDraws) -> Number:
    """Return x of the chance ``sigmoid(x)``; not defined where all are drawn alike."""
    if scorer.temperature > 0:
        return (y + scorer.progress_smoothing) / scorer.temperature
    return scorer.z_score_amplification * ((fixed(y) - moments.mean) / moments.std)


def pool_weights(pool: Pool, scorer: SigmoidDraws) -> Floats:
    """Return each task's weight, its label's or its own as ``pooling`` says, shape (n,)."""
    if scorer.pooling == "task":
        return scorer.weights(pool.statistics)
    return scorer.weights(pool.label_statistics)[pool.label_index]


def chances(pool: Pool, scorer: SigmoidDraws) -> Floats:
    """Return the acceptance of every eligible task, in the pool's order."""
    weights = pool_weights(pool, scorer)[pool.eligible(scorer)]
    return acceptances(weights, Moments.of(Sums.of(weights), len(weights)), scorer)


def fresh_share(n_fresh: int, n_eligible: int, scorer: SigmoidDraws) -> float:
    """Return the part of the draws by rule that goes to under-sampled tasks, in [0, 1]."""
    if n_fresh == 0:
        return 0.0
    if n_eligible == 0:
        return 1.0
    if scorer.exploration == "share":
        return max(scorer.exploration_share, n_fresh / (n_fresh + n_eligible))
    bonus = scorer.exploration_bonus
    return n_fresh * bonus / (1 + n_fresh * bonus)


def distribution(pool: Pool, scorer: SigmoidDraws) -> Floats:
    """Return the probability of every task, aligned with ``pool.task_ids``; it sums to 1.

    With U the under-sampled and E the eligible tasks, a the acceptances, and r = rand_task_rate::

        P(i) = r / |pool| + (1 - r) * (share / |U|                           i in U
                                       (1 - share) * a_i / sum of a over E   i in E)

    About 5 ms for 100,000 tasks.
    """
    n = len(pool)
    eligible = pool.eligible(scorer)
    n_eligible = int(eligible.sum())
    share = fresh_share(n - n_eligible, n_eligible, scorer)
    probability = np.zeros(n)
    if n > n_eligible:
        probability[~eligible] = share / (n - n_eligible)
    if n_eligible:
        weights = pool_weights(pool, scorer)[eligible]
        a = acceptances(weights, Moments.of(Sums.of(weights), n_eligible), scorer)
        probability[eligible] = (1 - share) * (a / a.sum())
    if n:
        probability = scorer.rand_task_rate / n + (1 - scorer.rand_task_rate) * probability
    return probability


class Weighing:
    """The eligible tasks of a pool at one moment, and the chance of each, on demand."""

    def __init__(self, pool: Pool, parts: Parts, scorer: SigmoidDraws) -> None:
        self.parts = parts
        self.eligible = np.concatenate((parts.learning, parts.ripe))
        self.scorer = scorer
        self._weights = pool_weights(pool, scorer)
        sums = Sums.of(self._weights[pool.eligible(scorer)])
        self.moments = Moments.of(sums, len(self.eligible))
        self.flat = self.moments.flat(scorer)
        # The sorted sets are ordered by the task's own rank alone.
        self.ordered = scorer.pooling == "task" and scorer.weight_is_rank

    def acceptance(self, position: int) -> float:
        """The chance of one task."""
        return acceptance(float(self._weights[position]), self.moments, self.scorer)

    @cached_property
    def strata(self) -> list[_Stratum]:
        """Pieces of the sorted sets that envelop the chances."""
        return list(self._strata())

    def _strata(self) -> Iterator[_Stratum]:
        """Cut each sorted set, highest first, into pieces a quarter as long as all before them.

        The first chance of a piece bounds the others, so the pieces envelop the chances; their
        total exceeds that of the chances by at most a quarter, whatever they are.
        """
        cumulative = 0.0
        for part in (self.parts.learning, self.parts.ripe):
            descending = part[::-1]
            start = 0
            while start < len(descending):
                size = min(max(1, start // 4), len(descending) - start)
                top = self.acceptance(descending[start])
                cumulative += size * top
                yield _Stratum(descending[start : start + size], top, cumulative)
                start += size


class _Stratum(NamedTuple):
    positions: Positions
    top: float
    cumulative: float


class Pick:
    """One call's draws; the moments and the strata are computed once for all of them."""

    def __init__(
        self,
        pool: Pool,
        parts: Parts,
        scorer: SigmoidDraws,
        stream: RandomStream,
        count: int,
    ) -> None:
        self._pool, self._scorer, self._stream = pool, scorer, stream
        self._weighing = Weighing(pool, parts, scorer)
        self._stratify = count >= STRATA_FROM_COUNT and self._weighing.ordered
        self._trials = 0
        self._share = fresh_share(len(parts.fresh), len(self._weighing.eligible), scorer)

    @property
    def is_spent(self) -> bool:
        """Whether so many trials were made that the rest is left to the next call."""
        return self._trials >= TRIALS_BEFORE_SHORT

    def one(self) -> int | None:
        """Return the position of one drawn task, None when the trials ran out."""
        stream, fresh = self._stream, self._weighing.parts.fresh
        rate = self._scorer.rand_task_rate
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
            if self._stream.uniform() < self._weighing.acceptance(position):
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
            if stream.uniform() * stratum.top < self._weighing.acceptance(position):
                return position
        return None


def expected_trials(pool: Pool, scorer: SigmoidDraws, *, stratified: bool = False) -> float:
    """Return the mean number of trials until an eligible task is accepted.

    By rejection it is 1 / mean(acceptance). At temperature 0 it stays below 8 at amplification 10
    whatever the pool is, since z-scores have mean 0 and deviation 1: a few tasks may stand far
    above the rest, but then the rest is only little below the mean. At a temperature every chance
    is at least 1/2. By strata it is at most 1.25, whatever the weights.
    """
    weighing = Weighing(pool, pool.parts(scorer), scorer)
    if weighing.flat or len(weighing.eligible) == 0:
        return 1.0
    total = math.fsum(weighing.acceptance(position) for position in weighing.eligible)
    envelope = weighing.strata[-1].cumulative if stratified else len(weighing.eligible)
    return envelope / total
