"""Environments with known episodes, and a curriculum that keeps what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np

from redis_curriculum import Curriculum
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig
from redis_curriculum.errors import CurriculumError, ServerUnavailableError
from redis_curriculum.tasks import Buckets, Outcome, Result, Step

WALKS = Buckets(
    label="walk-{length}",
    buckets={"length": [1, 2, 3, 5], "reward": [0.0, 1 / 64, 3 / 64], "end": ["goal", "time"]},
)
"""Returns are sums of 64ths, hence exact."""


def config_of(size: int = 12, **fields: Any) -> CurriculumConfig:
    """No replacements, so that tasks stay and one call is one round trip."""
    settings: dict[str, Any] = {
        "task_generator": WALKS,
        "num_active_tasks": size,
        "seed": 5,
    } | fields
    return CurriculumConfig(**settings, algorithm=LearningProgressConfig(replacement_rate=0.0))


def broken(places: Sequence[str]) -> Buckets:
    """Walks that raise somewhere: in "apply", "reset" or "step"; "" for those that do not."""
    return Buckets(
        label="walk-{broken}",
        buckets={"broken": list(places), "length": [2, 3], "reward": [1 / 64], "end": ["goal"]},
    )


class OptionWalk(gymnasium.Env[Any, Any]):
    """Walks ``length`` steps, each worth ``reward`` (twice as much with action 1)."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.task: dict[str, Any] = {}
        self.resets: list[tuple[dict[str, Any], int | None, dict[str, Any] | None]] = []
        """Task, seed and options of each reset."""
        self.is_closed = False
        self._at = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._take_task(options)
        self.resets.append((dict(self.task), seed, options))
        self._break("reset")
        self._at = 0
        return self._observe(), {"length": self.task["length"]}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._at == 1:
            self._break("step")
        self._at += 1
        reward = self.task["reward"] * (1 + int(action))
        over = self._at >= self.task["length"]
        by_time = self.task["end"] == "time"
        info = {"at": self._at}
        return self._observe(), reward, over and not by_time, over and by_time, info

    def close(self) -> None:
        self.is_closed = True

    def _take_task(self, options: dict[str, Any] | None) -> None:
        if options and "task" in options:
            self.task = options["task"]

    def _break(self, place: str) -> None:
        if self.task.get("broken") == place:
            raise RuntimeError(f"the walk broke in {place}")

    def _observe(self) -> Any:
        seen = [self._at / 16, self.task["length"] / 16, self.np_random.random()]
        return np.array(seen, dtype=np.float32)


class Walk(OptionWalk):
    """The same with ``set_task``."""

    def set_task(self, params: dict[str, Any]) -> None:
        self.task = params
        self._break("apply")

    def _take_task(self, options: dict[str, Any] | None) -> None:
        pass


class Watched(Curriculum):
    """A curriculum that keeps what it was asked, and fails when it is told to."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reports: list[tuple[int, float]] = []
        self.counts: list[int] = []
        self.drawn: list[int] = []
        self.failed: list[tuple[int, str]] = []
        self.errors: list[CurriculumError] = []
        """Raised by the next calls, before anything is sent."""
        self.refusals: list[CurriculumError] = []
        """The same for reports of failures."""

    def next_tasks(self, finished: Iterable[Result], count: int, *, distinct: bool = False) -> Step:
        if self.errors:
            raise self.errors.pop(0)
        finished = list(finished)
        step = super().next_tasks(finished, count, distinct=distinct)
        self.reports += [(result[0], result[1]) for result in finished]
        self.counts.append(count)
        self.drawn += [task.task_id for task in step.tasks]
        return step

    def report_failure(
        self, task_id: int, error: BaseException | str, *, permanent: bool = False
    ) -> Outcome:
        if self.refusals:
            raise self.refusals.pop(0)
        outcome = super().report_failure(task_id, error, permanent=permanent)
        self.failed.append((task_id, str(error)))
        return outcome


def with_outages(curriculum: Watched, step: Callable[[], object], turns: int) -> int:
    """Take steps; the server is gone for the next call at every third. How many steps failed."""
    failed = 0
    for turn in range(turns):
        if turn % 3 == 0:
            curriculum.errors.append(ServerUnavailableError("gone"))
        try:
            step()
        except ServerUnavailableError:
            failed += 1
    curriculum.errors.clear()
    return failed


def completions(curriculum: Curriculum) -> dict[int, int]:
    """Completed episodes of each task in the pool that has any."""
    records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    return {r.task_id: r.completion_count for r in records if r and r.completion_count}


def samples(curriculum: Curriculum) -> int:
    """How often the tasks in the pool were drawn."""
    records = [curriculum.get_task_stats(task_id) for task_id in curriculum.task_ids()]
    return sum(record.sample_count for record in records if record)
