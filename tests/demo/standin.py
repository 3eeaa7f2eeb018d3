"""A curriculum without a server: uniform draws from a fixed pool, the same in every process."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from redis_curriculum.demo.lakes import DENSITY, LABELS, SIZES
from redis_curriculum.errors import CurriculumError


@dataclass(frozen=True)
class StandInTask:
    task_id: int
    label: str
    params: dict[str, float]


@dataclass
class StandIn:
    """Uniform draws; ``fails_after`` calls it raises, as a lost server would."""

    n_tasks: int = 40
    fails_after: int | None = None
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(1)
        self.tasks = [
            StandInTask(
                i,
                LABELS[i % len(SIZES)],
                {"size": SIZES[i % len(SIZES)], "density": rng.uniform(*DENSITY), "map_seed": i},
            )
            for i in range(self.n_tasks)
        ]
        self.calls = 0

    def next_task(self, finished: tuple[int, float] | None = None) -> StandInTask:
        assert finished is None or 0 <= finished[0] < self.n_tasks
        self.calls += 1
        if self.fails_after is not None and self.calls > self.fails_after:
            raise CurriculumError("the server is gone")
        return self.tasks[int(self.rng.integers(self.n_tasks))]

    def distribution(self) -> dict[int, float]:
        return {task.task_id: 1 / self.n_tasks for task in self.tasks}

    def task_ids(self, label: str | None = None) -> list[int]:
        assert label is None or label in LABELS
        return [task.task_id for task in self.tasks if label in (None, task.label)]
