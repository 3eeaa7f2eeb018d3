"""A curriculum in plain Python: the oracle that the real store is compared with.

It keeps only what cannot be derived (records, label statistics, counters, the random stream) and
computes everything else, each index included, from scratch. Whatever the store keeps up to date
step by step must equal that. Formulas and draws are those of ``redis_curriculum._sampling``, which
has its own tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from redis_curriculum._protocol.keys import COUNTS
from redis_curriculum._sampling import draw
from redis_curriculum._sampling.draw import Draws
from redis_curriculum._sampling.draw import distribution as distribution_of
from redis_curriculum._sampling.pool import Pool, PoolTask, evictable
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._sampling.sigmoid import Sums
from redis_curriculum.config import DebiasedProgressConfig, LearningProgressConfig
from redis_curriculum.scorers import Scorer
from tests.statistics import Progress, fold, fold_label

Spec = tuple[int, str, Mapping[str, Any]]
"""What a new task is made of: task_id, label, params."""

Ranked = list[tuple[int, float]]
"""A sorted set as ZRANGE WITHSCORES gives it: task ids with their own learning progress."""


@dataclass
class ModelTask:
    task_id: int
    label: str
    params: Mapping[str, Any]
    progress: Progress = field(default_factory=Progress)
    sample_count: int = 0
    failure_count: int = 0
    consecutive_failures: int = 0
    last_error: str | None = None
    weight: float = 1.0


@dataclass
class Indices:
    """All that the store keeps besides the records, and that can be computed from them."""

    fresh: Ranked
    learning: Ranked
    ripe: Ranked
    sums: dict[str, int]
    """Without zeros, which the store may hold."""
    label_sets: dict[str, set[int]]
    kept: dict[str, dict[str, float]]
    """What draws need of a label, without zeros: eligible_count, or its score in each set."""
    members: dict[str, set[int]]
    """The tasks of each label once more, where draws need that."""


class ModelCurriculum:
    """One curriculum; every method is one script of the store."""

    def __init__(self, hypers: Scorer, capacity: int, seed: int) -> None:
        self.hypers = hypers
        self.capacity = capacity
        self.stream = RandomStream.from_seed(seed)
        self.tasks: dict[int, ModelTask] = {}
        self.labels: dict[str, Progress] = {}
        self.known_labels: set[str] = set()
        """Every label that ever had a task."""
        self.samples: Counter[str] = Counter()
        self.completions: Counter[str] = Counter()
        self.evictions: Counter[str] = Counter()
        self.created: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.quarantine: dict[int, str] = {}
        self.epoch = 0
        self.closed: dict[int, dict[str, Counter[str]]] = {}
        """Epoch to the counts within it, all that ever were."""
        self.late_count = 0

    def create(self, specs: Sequence[Spec]) -> None:
        """Add tasks; there is room."""
        assert len(self.tasks) + len(specs) <= self.capacity
        for task_id, label, params in specs:
            assert task_id not in self.tasks, "ids are never reused"
            self.tasks[task_id] = ModelTask(task_id, label, params)
            self.created[label] += 1
            self.known_labels.add(label)

    def record(self, results: Iterable[tuple[int, float]]) -> list[bool]:
        """Apply results in order; False where the task was evicted meanwhile."""
        return [self._record_one(task_id, score) for task_id, score in results]

    def _record_one(self, task_id: int, score: float) -> bool:
        task = self.tasks.get(task_id)
        if task is None:
            self.late_count += 1
            return False
        task.progress = fold(task.progress, score, self.hypers)
        task.consecutive_failures = 0
        of_label = self.labels.get(task.label, Progress())
        self.labels[task.label] = fold_label(of_label, score, self.hypers)
        self.completions[task.label] += 1
        return True

    def sample(self, count: int, replacement_rate: float | None = None) -> Draws:
        """Draw; each drawn task counts as sampled once a draw."""
        hypers = self.hypers
        if replacement_rate is not None:
            hypers = hypers.model_copy(update={"replacement_rate": replacement_rate})
        draws = draw.draw(self.pool(), hypers, self.stream, count)
        for task_id in draws.task_ids:
            task = self.tasks[task_id]
            task.sample_count += 1
            self.samples[task.label] += 1
        return draws

    def fail(self, task_id: int, error: str, *, permanent: bool) -> int:
        """Count a failure: 2 if the task goes for it, 1 if it stays, 0 if it was not there."""
        task = self.tasks.get(task_id)
        if task is None:
            self.late_count += 1
            return 0
        in_a_row = task.consecutive_failures + 1
        if self.hypers.failure_score is not None:
            self._record_one(task_id, self.hypers.failure_score)
        task.failure_count += 1
        task.consecutive_failures, task.last_error = in_a_row, error
        self.failures[task.label] += 1
        if not permanent and in_a_row < self.hypers.max_consecutive_failures:
            return 1
        self.evict(task_id)
        self.quarantine[task_id] = error
        return 2

    def end_epoch(self) -> None:
        """Close the epoch."""
        self.closed[self.epoch] = self.counts_of_epoch()
        self.epoch += 1

    def counts_of_epoch(self) -> dict[str, Counter[str]]:
        """What the current epoch has counted: the lifetime less all that is closed."""
        found = {}
        for what in COUNTS:
            found[what] = Counter(getattr(self, what))
            for counts in self.closed.values():
                found[what] -= counts[what]
        return found

    def evict(self, task_id: int) -> bool:
        """Remove a task; False where it is not in the pool."""
        task = self.tasks.pop(task_id, None)
        if task is None:
            return False
        self.evictions[task.label] += 1
        return True

    def replace(self, specs: Sequence[Spec]) -> list[int]:
        """Evict tasks that may go, at most one a spec, and create as many of the specs.

        Which tasks go is decided once, before the first goes.
        """
        evicted = evictable(self.pool(), self.hypers, len(specs), self.stream)
        count = len(evicted)
        for task_id in evicted:
            self.evict(task_id)
        self.create(specs[:count])
        for task_id, label, _ in specs[:count]:  # they are played next
            self.tasks[task_id].sample_count += 1
            self.samples[label] += 1
        return evicted

    def set_label(self, task_id: int, label: str) -> bool:
        """Move a task to a label; what it did under the old one stays there."""
        task = self.tasks.get(task_id)
        if task is None:
            return False
        task.label = label
        self.known_labels.add(label)
        return True

    def set_weight(self, task_id: int, weight: float) -> bool:
        """Multiply the probability of a task."""
        task = self.tasks.get(task_id)
        if task is None:
            return False
        task.weight = weight
        return True

    def pool(self) -> Pool:
        """The numbers that draws depend on."""
        rows = [
            PoolTask(task.task_id, task.label, task.progress.statistics)
            for task in self.tasks.values()
        ]
        labels = {name: progress.statistics for name, progress in self.labels.items()}
        pool = Pool.of(rows, labels, self.hypers)
        weights = np.array([task.weight for task in self.tasks.values()])
        return pool if (weights == 1).all() else replace(pool, task_weights=weights)

    def distribution(self) -> dict[int, float]:
        """The probability of each task."""
        pool = self.pool()
        probabilities = distribution_of(pool, self.hypers)
        return dict(zip(pool.task_ids.tolist(), probabilities.tolist(), strict=True))

    def indices(self) -> Indices:
        """Everything derived, from the records alone."""
        parts: dict[str, Ranked] = {"fresh": [], "learning": [], "ripe": []}
        label_sets: dict[str, set[int]] = {}
        for task in self.tasks.values():
            rank = self.hypers.rank(task.progress.statistics)
            parts[self._part(task)].append((task.task_id, rank))
            label_sets.setdefault(task.label, set()).add(task.task_id)
        for ranked in parts.values():
            ranked.sort(key=lambda entry: (entry[1], str(entry[0]).encode()))
        found = Indices(**parts, sums={}, label_sets=label_sets, kept={}, members={})
        if isinstance(self.hypers, LearningProgressConfig):
            self._index_sigmoid(found, self.hypers)
        elif isinstance(self.hypers, DebiasedProgressConfig):
            self._index_label_first(found, self.hypers)
        return found

    def _index_sigmoid(self, found: Indices, hypers: LearningProgressConfig) -> None:
        sums, eligible = Sums(), Counter[str]()
        for task in self.tasks.values():
            if self._part(task) != "fresh":
                eligible[task.label] += 1
                sums = sums.add(self._weight(task, hypers.pooling))
        found.sums.update({name: amount for name, amount in asdict(sums).items() if amount})
        found.kept.update({label: {"eligible_count": n} for label, n in eligible.items()})

    def _index_label_first(self, found: Indices, hypers: DebiasedProgressConfig) -> None:
        """By the words of ``lua/draws/label_first``, one label after the other."""
        sums, found.members = Counter[str](), found.label_sets
        for label, ids in found.label_sets.items():
            progress = self.labels.get(label, Progress())
            mass = len(ids) if hypers.label_mass == "tasks" else 1
            if progress.completion_count >= hypers.least_count:
                weight = hypers.weight(progress.statistics)
                found.kept[label] = {"weights": weight}
                if hypers.label_mass == "tasks":
                    found.kept[label]["masses"] = weight * mass
                sums["0"] += round(Fraction(weight * mass) * 2**32)
                group = next(i for i in range(55) if weight * mass > 2.0 ** (20 - i) or i == 54)
                sums[str(2 + group)] += 1
            else:
                found.kept[label] = {"young": mass}
                sums["1"] += mass
                sums[str(57 + next(i for i in range(21) if mass > 2.0 ** (19 - i)))] += 1
        found.sums.update({place: amount for place, amount in sums.items() if amount})

    def _part(self, task: ModelTask) -> str:
        completions = task.progress.completion_count
        if completions < self.hypers.fresh_until:
            return "fresh"
        return "learning" if completions < self.hypers.ripe_from else "ripe"

    def _weight(self, task: ModelTask, pooling: str) -> float:
        pooled = pooling == "label"
        progress = self.labels.get(task.label, Progress()) if pooled else task.progress
        return self.hypers.weight(progress.statistics)
