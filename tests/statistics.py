"""Statistics and pools as tests write them down: by name, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from redis_curriculum._sampling import pool as sampling
from redis_curriculum.scorers import LearningProgressConfig, Scorer, Statistics


class Progress:
    """What results have left of a task or label; each statistic is an attribute, None: never."""

    def __init__(self, last_score: float | None = None, **statistics: float | None) -> None:
        known = {name: value for name, value in statistics.items() if value is not None}
        self.statistics: dict[str, float] = known if known.get("completion_count") else {}
        self.last_score = last_score

    def __getattr__(self, name: str) -> Any:
        if name == "completion_count":
            return int(self.statistics.get(name, 0))
        if name == "total_score":
            return self.statistics.get(name, 0.0)
        return self.statistics.get(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Progress) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Progress(last_score={self.last_score}, {self.statistics})"


def fold(progress: Progress, score: float, scorer: Scorer) -> Progress:
    """One more result of a task."""
    return Progress(score, **scorer.fold(progress.statistics, score))


def fold_label(progress: Progress, score: float, scorer: Scorer) -> Progress:
    """One more result of a label."""
    return Progress(score, **scorer.fold_label(progress.statistics, score))


class PoolTask(NamedTuple):
    """A task of a pool of ``LearningProgressConfig``; None means never."""

    task_id: int
    label: str
    completion_count: int
    learning_progress: float | None
    p_true: float | None

    @property
    def statistics(self) -> Statistics:
        """Those that a draw depends on."""
        return known(
            completion_count=self.completion_count or None,
            learning_progress=self.learning_progress,
            p_true=self.p_true,
        )


def known(**statistics: float | None) -> dict[str, float]:
    """Those that are not None."""
    return {name: value for name, value in statistics.items() if value is not None}


def make_pool(
    tasks: Iterable[PoolTask], labels: Mapping[str, tuple[float | None, float | None]]
) -> sampling.Pool:
    """A pool; ``labels`` holds each label's (learning_progress, p_true)."""
    of_labels = {
        name: known(learning_progress=progress, p_true=p_true)
        for name, (progress, p_true) in labels.items()
    }
    rows = [sampling.PoolTask(task.task_id, task.label, task.statistics) for task in tasks]
    return sampling.Pool.of(rows, of_labels, LearningProgressConfig())
