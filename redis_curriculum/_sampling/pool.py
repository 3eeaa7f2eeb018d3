"""The numbers of a whole pool, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.scorers.base import Floats, Scorer
from redis_curriculum.scorers.own import OwnValues
from redis_curriculum.scorers.statistics import Statistics

Positions = NDArray[np.intp]
Columns = Mapping[str, Floats]
"""Statistics by name, each of shape (n,), NaN where absent."""


class PoolTask(NamedTuple):
    """The numbers of one task that a draw depends on."""

    task_id: int
    label: str
    statistics: Statistics


class Parts(NamedTuple):
    """Positions of the tasks in each of the three sorted sets, in Redis's order."""

    fresh: Positions
    learning: Positions
    ripe: Positions


@dataclass(frozen=True)
class Pool:
    """The numbers of a whole pool; build it from these, or with ``Pool.of``.

    Attributes:
        task_ids: Shape (n,), integers.
        statistics: Of the tasks, columns of shape (n,).
        label_index: Shape (n,): which of the m labels each task has.
        label_statistics: Of the labels, columns of shape (m,).
        labels: Names of the m labels.
        numbers: What the family keeps of the whole pool; empty before the first result.
        task_weights: Factors of the tasks' probabilities that the trainer has set, shape (n,);
            None: it has set none.
        own: What the keys of the family's own hold.
    """

    task_ids: NDArray[np.int64]
    statistics: Columns
    label_index: Positions
    label_statistics: Columns
    labels: Sequence[str] = field(default=())
    numbers: Statistics = field(default_factory=dict)
    task_weights: Floats | None = None
    own: OwnValues = field(default_factory=OwnValues)

    @classmethod
    def of(
        cls, tasks: Iterable[PoolTask], labels: Mapping[str, Statistics], scorer: Scorer
    ) -> Pool:
        """Build a pool from tasks and the statistics of their labels.

        A label that is not in the mapping has never seen a completion.
        """
        rows = list(tasks)
        names = {name: i for i, name in enumerate(dict.fromkeys(row.label for row in rows))}
        return cls(
            task_ids=np.array([row.task_id for row in rows], dtype=np.int64),
            statistics=_columns(scorer.names("task"), [row.statistics for row in rows]),
            label_index=np.array([names[row.label] for row in rows], dtype=np.intp),
            label_statistics=_columns(
                scorer.names("label"), [labels.get(name, {}) for name in names]
            ),
            labels=list(names),
        )

    def __len__(self) -> int:
        """The number of tasks."""
        return len(self.task_ids)

    @cached_property
    def completion_count(self) -> NDArray[np.int64]:
        """Results of each task, shape (n,)."""
        return np.nan_to_num(self.statistics["completion_count"], nan=0.0).astype(np.int64)

    def only(self, tasks: NDArray[np.bool_]) -> Pool:
        """Return the pool of some of its tasks; the labels stay."""
        weights = self.task_weights
        return replace(
            self,
            task_ids=self.task_ids[tasks],
            statistics={name: column[tasks] for name, column in self.statistics.items()},
            label_index=self.label_index[tasks],
            task_weights=None if weights is None else weights[tasks],
            own=replace(self.own, tasks={k: column[tasks] for k, column in self.own.tasks.items()}),
        )

    def ranks(self, scorer: Scorer) -> Floats:
        """Return each task's score in the sorted sets, shape (n,)."""
        return scorer.ranks(self.statistics)

    def eligible(self, scorer: Scorer) -> NDArray[np.bool_]:
        """Whether each task is no longer fresh, shape (n,)."""
        return self.completion_count >= scorer.fresh_until

    def parts(self, scorer: Scorer) -> Parts:
        """Return the three sorted sets as positions, by rank, then by the id's text as bytes."""
        order = np.lexsort((self.task_ids.astype("S20"), self.ranks(scorer)))
        eligible = self.eligible(scorer)[order]
        ripe = eligible & (self.completion_count[order] >= scorer.ripe_from)
        return Parts(order[~eligible], order[eligible & ~ripe], order[ripe])


def _columns(names: Sequence[str], rows: Sequence[Statistics]) -> dict[str, Floats]:
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows], dtype=np.float64)
    table = table.reshape(len(rows), len(names))
    return {name: table[:, i] for i, name in enumerate(names)}


def evictable(pool: Pool, scorer: Scorer, limit: int, stream: RandomStream) -> list[int]:
    """Return the ids of at most ``limit`` ripe tasks to be replaced, as ``Scorer.EVICTS`` says."""
    parts = pool.parts(scorer)
    count = min(limit, count_evictable(pool, parts, scorer, limit))
    places = list(range(count))
    if scorer.EVICTS == "random":
        places = _different(len(parts.ripe), count, stream)
    return [int(pool.task_ids[parts.ripe[place]]) for place in places]


def _different(n: int, count: int, stream: RandomStream) -> list[int]:
    """Return so many different numbers below n, by Floyd's algorithm.

    Source: J. Bentley and R. W. Floyd 1987, "A sample of brilliance", CACM 30(9), 754-757.
    """
    taken: list[int] = []
    for last in range(n - count, n):
        place = stream.index(last + 1)
        taken.append(last if place in taken else place)
    return taken


def count_evictable(pool: Pool, parts: Parts, scorer: Scorer, limit: int) -> int:
    """Count the tasks that may be replaced; where the lowest go, among the first ``limit``.

    Then a ripe task may go whose position by rank lies in the lowest share of the pool. By
    position, not by value: where all tasks are tied, only that share of them is evictable. Among
    equals the ripe come first, since only they can go.
    """
    if scorer.EVICTS == "random":
        return len(parts.ripe)
    threshold = scorer.evictable_share * len(pool)
    own = pool.ranks(scorer)
    scores = own[parts.ripe[:limit]]
    ranks = np.arange(len(scores))
    for other in (parts.fresh, parts.learning):
        ranks = ranks + np.searchsorted(own[other], scores, side="left")
    return int(np.searchsorted(ranks, threshold, side="left"))  # ranks rise
