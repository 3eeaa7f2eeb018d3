"""The formulas of the curriculum in Python and NumPy: the reference the Lua scripts must equal.

Four things live here, each pure and without a server:

1. ``fold``: what one completion does to a task's (or a label's) ``Progress``.
2. ``Sums``, ``Moments``: mean and deviation of the eligible tasks' drives, from integers that can
   be kept up to date one task at a time without ever losing a bit.
3. ``distribution``: the probability of every task, vectorised.
4. ``draw``: exact draws from that distribution without a pass over the pool, with the curriculum's
   own random numbers (``RandomStream``).

Records and draws agree with the scripts bit for bit, so the order of every floating-point
operation below is part of the contract. Do not "simplify" an expression here without its twin in
``lua/``.

Sources: the learning-progress signal (fast minus slow average, reweighted in favour of early
progress) is that of Kanitscheider et al. 2021, "Multi-task curriculum learning in a complex,
visual, hard-exploration domain: Minecraft"; the random stream is MRG32k3a of P. L'Ecuyer 1999,
"Good Parameters and Implementations for Combined Multiple Recursive Random Number Generators",
Operations Research 47(1), 159-164.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from redis_curriculum.errors import EmptyPoolError

if TYPE_CHECKING:
    from redis_curriculum.config import LearningProgressConfig

__all__ = [
    "Draws",
    "Moments",
    "Parts",
    "Pool",
    "PoolTask",
    "Progress",
    "RandomStream",
    "Sums",
    "distribution",
    "draw",
    "drive",
    "evictable",
    "expected_trials",
    "fixed",
    "fold",
    "fresh_share",
    "gini",
    "reweight",
    "weight",
    "weights",
]

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Number = TypeVar("Number", float, Floats)

NO_REWEIGHTING = 0.5
"""The ``early_progress_amplification`` at which R is the identity."""

STRATA_FROM_COUNT = 32
"""A call for this many draws or more uses strata at once; below, rejection is tried first."""

TRIALS_BEFORE_STRATA = 64
TRIALS_BEFORE_SHORT = 1024
INDEX_TRIES = 16


# --- one completion ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a task (or a label) from its completions.

    None means "never": before the first completion there is no average, and 0 is a value like any
    other. All averages are exponential (EMA) and in [0, 1], as scores are.

    Attributes:
        completion_count: Completions so far.
        total_score: Sum of their scores.
        last_score: The latest score.
        reward_ema: EMA of the score.
        ema_squared: EMA of the squared score.
        success_rate_ema: EMA of [score >= success_threshold].
        p_fast: Fast EMA of the mastery (the score above the random baseline, rescaled to [0, 1]).
        p_slow: Slow EMA of the mastery.
        p_true: Fast EMA of the score itself.
        random_baseline: The first score, at most 0.75; not looked at while normalisation is off.
        learning_progress: In [0, 1]; how fast the performance changes (or how much it varies).
    """

    completion_count: int = 0
    total_score: float = 0.0
    last_score: float | None = None
    reward_ema: float | None = None
    ema_squared: float | None = None
    success_rate_ema: float | None = None
    p_fast: float | None = None
    p_slow: float | None = None
    p_true: float | None = None
    random_baseline: float | None = None
    learning_progress: float | None = None


def fold(progress: Progress, score: float, hypers: LearningProgressConfig) -> Progress:
    """Return the progress after one more completion with ``score`` in [0, 1]."""
    tracker_rate = hypers.task_tracker_ema_alpha
    fast_rate = hypers.ema_timescale
    slow_rate = fast_rate * hypers.slow_timescale_factor
    first = progress.random_baseline
    if progress.completion_count == 0 and hypers.use_baseline_normalization:
        first = min(score, 0.75)
    baseline = first if hypers.use_baseline_normalization else None
    mastery = score if baseline is None else max(score - baseline, 0.0) / max(1 - baseline, 1e-10)
    reward_ema = _ema(progress.reward_ema, tracker_rate, score)
    ema_squared = _ema(progress.ema_squared, tracker_rate, score * score)
    success = 1.0 if score >= hypers.success_threshold else 0.0
    p_fast = _ema(progress.p_fast, fast_rate, mastery)
    p_slow = _ema(progress.p_slow, slow_rate, mastery)
    if hypers.use_bidirectional:
        early = hypers.early_progress_amplification
        learning_progress = abs(reweight(p_fast, early) - reweight(p_slow, early))
    else:
        learning_progress = math.sqrt(max(0.0, ema_squared - reward_ema * reward_ema))
    return Progress(
        completion_count=progress.completion_count + 1,
        total_score=progress.total_score + score,
        last_score=score,
        reward_ema=reward_ema,
        ema_squared=ema_squared,
        success_rate_ema=_ema(progress.success_rate_ema, tracker_rate, success),
        p_fast=p_fast,
        p_slow=p_slow,
        p_true=_ema(progress.p_true, fast_rate, score),
        random_baseline=first,
        learning_progress=learning_progress,
    )


def reweight(p: float, early: float) -> float:
    """R(p): stretch low performance so that early progress counts for more.

    ``R(p) = p (1 - th) / (p + th (1 - 2 p))`` maps [0, 1] onto itself, rising; th = ``early`` in
    (0, 1) is the performance that becomes one half. 0.5 is the identity.
    """
    p = min(max(p, 0.0), 1.0)
    if early == NO_REWEIGHTING:
        return p
    return p * (1 - early) / (p + early * (1 - 2 * p))


def _ema(old: float | None, rate: float, value: float) -> float:
    return value if old is None else old + rate * (value - old)


# --- from progress to weights --------------------------------------------------------------------


def drive(learning_progress: Number, p_true: Number, hypers: LearningProgressConfig) -> Number:
    """Return what draws attention to a task: its progress plus the performance bonus."""
    if hypers.performance_bonus_weight == 0:
        return learning_progress
    return learning_progress + hypers.performance_bonus_weight * p_true


def fixed(y: Number) -> Number:
    """Return a drive (0 <= y < 4) as a whole number of 2**-40, an integer-valued float < 2**42.

    Floats added and removed one at a time drift; whole numbers do not.
    """
    return np.floor(y * 1099511627776.0 + 0.5)  # type: ignore[no-any-return]  # a ufunc is Any


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums of the fixed-point drives of the eligible tasks and of their squares.

    A drive's square has up to 84 bits, more than a double or Redis's 64-bit integers hold, so the
    drive is split: a = hi * 2**21 + lo, hence a*a = hi*hi * 2**42 + hi*lo * 2**22 + lo*lo. Each of
    the four sums fits 63 bits for pools up to two million tasks.
    """

    s: int = 0
    q0: int = 0
    q1: int = 0
    q2: int = 0

    def add(self, y: float, count: int = 1) -> Sums:
        """Return the sums with ``count`` tasks of drive ``y`` more (or fewer, if negative)."""
        a = int(fixed(y))
        hi, lo = divmod(a, 2097152)
        return Sums(
            self.s + count * a,
            self.q0 + count * lo * lo,
            self.q1 + count * hi * lo,
            self.q2 + count * hi * hi,
        )

    @classmethod
    def of(cls, drives: Floats) -> Sums:
        """Return the sums over many drives, shape (n,)."""
        a = fixed(drives).astype(np.int64)
        hi, lo = a >> 21, a & 2097151
        return cls(int(a.sum()), int((lo * lo).sum()), int((hi * lo).sum()), int((hi * hi).sum()))


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation of the fixed-point drives over the eligible tasks.

    ``equal`` says that they differ by less than rounding can tell; then all weigh the same.
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

    def flat(self, hypers: LearningProgressConfig) -> bool:
        """Whether all eligible tasks weigh the same."""
        return hypers.temperature == 0 and (self.equal or hypers.z_score_amplification == 0)


def weight(y: float, moments: Moments, hypers: LearningProgressConfig) -> float:
    """Return the weight in [0, 1] of an eligible task with drive ``y``.

    The C library's ``exp``, as in Lua: NumPy's may differ in the last bit, and so would a draw.
    """
    if moments.flat(hypers):
        return 1.0
    try:
        return float(1 / (1 + math.exp(-_log_odds(y, moments, hypers))))
    except OverflowError:
        return 0.0


def weights(drives: Floats, moments: Moments, hypers: LearningProgressConfig) -> Floats:
    """Return the weights of eligible tasks, shape (n,); may differ from ``weight`` by an ulp."""
    if moments.flat(hypers):
        return np.ones(len(drives))
    with np.errstate(over="ignore", under="ignore"):
        return 1 / (1 + np.exp(-_log_odds(drives, moments, hypers)))


def _log_odds(y: Number, moments: Moments, hypers: LearningProgressConfig) -> Number:
    """Return x of the weight ``sigmoid(x)``; not defined where the weights are flat."""
    if hypers.temperature > 0:
        return (y + hypers.progress_smoothing) / hypers.temperature
    return hypers.z_score_amplification * ((fixed(y) - moments.mean) / moments.std)


# --- the pool ------------------------------------------------------------------------------------


class PoolTask(NamedTuple):
    """The numbers of one task that a draw depends on; None means never."""

    task_id: int
    label: str
    completion_count: int
    learning_progress: float | None
    p_true: float | None


class Parts(NamedTuple):
    """Positions of the tasks in each of the three sorted sets, in Redis's order."""

    fresh: Positions
    learning: Positions
    ripe: Positions


@dataclass(frozen=True)
class Pool:
    """The numbers of a whole pool as arrays; build it from these, or with ``Pool.of``.

    Attributes:
        task_ids: Shape (n,), integers.
        completion_count: Shape (n,), integers.
        learning_progress: Shape (n,), NaN where never.
        p_true: Shape (n,), NaN where never.
        label_index: Shape (n,): which of the m labels each task has.
        label_learning_progress: Shape (m,), the labels' own progress, NaN where never.
        label_p_true: Shape (m,), NaN where never.
    """

    task_ids: NDArray[np.int64]
    completion_count: NDArray[np.int64]
    learning_progress: Floats
    p_true: Floats
    label_index: Positions
    label_learning_progress: Floats
    label_p_true: Floats

    @classmethod
    def of(
        cls,
        tasks: Iterable[PoolTask],
        labels: Mapping[str, tuple[float | None, float | None]],
    ) -> Pool:
        """Build a pool from tasks and each label's (learning_progress, p_true).

        A label that is not in the mapping has never seen a completion.
        """
        rows = list(tasks)
        names = {name: i for i, name in enumerate(dict.fromkeys(row.label for row in rows))}
        pairs = [labels.get(name, (None, None)) for name in names]
        return cls(
            task_ids=np.array([row.task_id for row in rows], dtype=np.int64),
            completion_count=np.array([row.completion_count for row in rows], dtype=np.int64),
            learning_progress=_with_nan(row.learning_progress for row in rows),
            p_true=_with_nan(row.p_true for row in rows),
            label_index=np.array([names[row.label] for row in rows], dtype=np.intp),
            label_learning_progress=_with_nan(pair[0] for pair in pairs),
            label_p_true=_with_nan(pair[1] for pair in pairs),
        )

    def __len__(self) -> int:
        """The number of tasks."""
        return len(self.task_ids)

    @cached_property
    def own_scores(self) -> Floats:
        """Each task's own learning progress, 0 where never: its score in the sorted sets."""
        return np.nan_to_num(self.learning_progress, nan=0.0)

    def eligible(self, hypers: LearningProgressConfig) -> NDArray[np.bool_]:
        """Whether each task has enough completions to be drawn by progress, shape (n,)."""
        return self.completion_count >= hypers.min_samples_for_lp

    def drives(self, hypers: LearningProgressConfig) -> Floats:
        """Return each task's drive, its label's or its own as ``pooling`` says, shape (n,)."""
        if hypers.pooling == "task":
            return drive(self.own_scores, np.nan_to_num(self.p_true, nan=0.0), hypers)
        per_label = drive(
            np.nan_to_num(self.label_learning_progress, nan=0.0),
            np.nan_to_num(self.label_p_true, nan=0.0),
            hypers,
        )
        return per_label[self.label_index]

    def sums(self, hypers: LearningProgressConfig) -> Sums:
        """Return the exact sums over the eligible tasks."""
        return Sums.of(self.drives(hypers)[self.eligible(hypers)])

    def moments(self, hypers: LearningProgressConfig) -> Moments:
        """Return mean and deviation over the eligible tasks."""
        return Moments.of(self.sums(hypers), int(self.eligible(hypers).sum()))

    def parts(self, hypers: LearningProgressConfig) -> Parts:
        """Return the three sorted sets as positions, by score, then by the id's text as bytes."""
        order = np.lexsort((self.task_ids.astype("S20"), self.own_scores))
        eligible = self.eligible(hypers)[order]
        ripe = eligible & (self.completion_count[order] >= hypers.min_presentations_for_eviction)
        return Parts(order[~eligible], order[eligible & ~ripe], order[ripe])


def _with_nan(values: Iterable[float | None]) -> Floats:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def fresh_share(n_fresh: int, n_eligible: int, hypers: LearningProgressConfig) -> float:
    """Return the part of the draws by rule that goes to under-sampled tasks, in [0, 1]."""
    if n_fresh == 0:
        return 0.0
    if n_eligible == 0:
        return 1.0
    if hypers.exploration == "share":
        return max(hypers.exploration_share, n_fresh / (n_fresh + n_eligible))
    bonus = hypers.exploration_bonus
    return n_fresh * bonus / (1 + n_fresh * bonus)


def distribution(pool: Pool, hypers: LearningProgressConfig) -> Floats:
    """Return the probability of every task, aligned with ``pool.task_ids``; it sums to 1.

    With U the under-sampled and E the eligible tasks, w the weights, and r = rand_task_rate::

        P(i) = r / |pool| + (1 - r) * (share / |U|                           i in U
                                       (1 - share) * w_i / sum of w over E   i in E)

    An empty pool has an empty distribution. About 5 ms for 100,000 tasks.
    """
    n = len(pool)
    eligible = pool.eligible(hypers)
    n_eligible = int(eligible.sum())
    share = fresh_share(n - n_eligible, n_eligible, hypers)
    probability = np.zeros(n)
    if n > n_eligible:
        probability[~eligible] = share / (n - n_eligible)
    if n_eligible:
        drives = pool.drives(hypers)[eligible]
        w = weights(drives, Moments.of(Sums.of(drives), n_eligible), hypers)
        probability[eligible] = (1 - share) * (w / w.sum())
    if n:
        probability = hypers.rand_task_rate / n + (1 - hypers.rand_task_rate) * probability
    return probability


def evictable(pool: Pool, hypers: LearningProgressConfig, limit: int) -> int:
    """Return how many of the first ``limit`` tasks of ``ripe`` may be evicted."""
    return _evictable(pool, pool.parts(hypers), hypers, limit)


def _evictable(pool: Pool, parts: Parts, hypers: LearningProgressConfig, limit: int) -> int:
    """Count ripe tasks whose rank by own progress lies in the lowest share of the pool.

    By rank, not by value: where all tasks are tied, only that share of them is evictable. Among
    equals the ripe come first, since only they can go.
    """
    threshold = hypers.eviction_threshold_percentile * len(pool)
    scores = pool.own_scores[parts.ripe[:limit]]
    ranks = np.arange(len(scores))
    for other in (parts.fresh, parts.learning):
        ranks = ranks + np.searchsorted(pool.own_scores[other], scores, side="left")
    return int(np.searchsorted(ranks, threshold, side="left"))  # ranks rise


# --- the random stream ---------------------------------------------------------------------------

M1 = 4294967087
M2 = 4294944443

State = tuple[int, int, int, int, int, int]


class RandomStream:
    """MRG32k3a, the combined multiple recursive generator of L'Ecuyer (1999).

    Two recurrences of order three, modulo m1 and m2, are subtracted; the period is about 2**191.
    Every intermediate value is a whole number below 2**53, so a double holds it exactly and Lua,
    C and Python give the same numbers.

    Args:
        state: Six numbers, as in ``state``, from which it goes on.
    """

    def __init__(self, state: Sequence[int]) -> None:
        s10, s11, s12, s20, s21, s22 = state
        self._state: State = (s10, s11, s12, s20, s21, s22)

    @classmethod
    def from_seed(cls, seed: int) -> RandomStream:
        """Return the stream of a curriculum's seed; SHA-512 keeps near seeds far apart."""
        digest = hashlib.sha512(b"redis-curriculum stream %d" % seed).digest()
        words = [int.from_bytes(digest[i : i + 8], "big") for i in range(0, 48, 8)]
        moduli = [M1, M1, M1, M2, M2, M2]
        return cls([word % (m - 1) + 1 for word, m in zip(words, moduli, strict=True)])

    @property
    def state(self) -> State:
        """The six numbers s10 s11 s12 (below m1) and s20 s21 s22 (below m2)."""
        return self._state

    def number(self) -> int:
        """Return the next z, uniform on the integers 1 to m1."""
        s10, s11, s12, s20, s21, s22 = self._state
        p1 = (1403580 * s11 - 810728 * s10) % M1
        p2 = (527612 * s22 - 1370589 * s20) % M2
        self._state = (s11, s12, p1, s21, s22, p2)
        return p1 - p2 if p1 > p2 else p1 - p2 + M1

    def uniform(self) -> float:
        """Return the next number in (0, 1)."""
        return self.number() * 2.328306549295727688e-10

    def index(self, n: int) -> int:
        """Return an integer from 0 to n - 1, each equally likely.

        Numbers above the largest multiple of n are drawn again, at most 16 times: by then the
        remaining bias is below (n / 2**32)**16.
        """
        limit = M1 - M1 % n
        k = 0
        for _ in range(INDEX_TRIES):
            k = self.number() - 1
            if k < limit:
                break
        return k % n


# --- draws ---------------------------------------------------------------------------------------


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
        return wanted < _evictable(self._pool, self._weighing.parts, self._hypers, limit)

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


# --- inequality ----------------------------------------------------------------------------------


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient of non-negative values: 0 all equal, towards 1 all in one.

    ``G = sum((2 i - n - 1) x_i) / (n sum(x))`` over the sorted values, i from 1 (half the relative
    mean absolute difference). Nothing, or nothing but zeros, is equal: 0.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    total = x.sum()
    if total == 0:
        return 0.0
    rank = np.arange(1, len(x) + 1)
    g = float(((2 * rank - len(x) - 1) * x).sum() / (len(x) * total))
    return max(g, 0.0)  # where all are equal, rounding may leave a little below
