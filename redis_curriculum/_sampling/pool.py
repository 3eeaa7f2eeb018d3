"""The numbers of a whole pool, and the probability of every task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._sampling.weights import Floats, Moments, Positions, Sums, drive, weights

if TYPE_CHECKING:
    from redis_curriculum.scorers.learning_progress import LearningProgressConfig


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
    return count_evictable(pool, pool.parts(hypers), hypers, limit)


def count_evictable(pool: Pool, parts: Parts, hypers: LearningProgressConfig, limit: int) -> int:
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
