"""The older curriculum, its tasks, tracker and algorithm, over a handle of today."""

from __future__ import annotations

import copy
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from redis_curriculum import Curriculum as Core
from redis_curriculum import Outcome, Step, Task
from redis_curriculum.compat.config import CurriculumConfig
from redis_curriculum.envs import CurriculumPufferEnv
from redis_curriculum.errors import CompatWarning, InvalidInputError
from redis_curriculum.tasks.outcome import Result


class CurriculumTask:
    """A task as the older system handed it out."""

    def __init__(self, task: Task, env_cfg: Any) -> None:
        self._task_id = task.task_id
        self._env_cfg = env_cfg
        self._label = task.label
        self._params = task.params
        self._num_completions = 0
        self._total_score = 0.0
        self._mean_score = 0.0

    @property
    def task_id(self) -> int:
        """The task's id."""
        return self._task_id

    def complete(self, score: float) -> None:
        """Note a score in this object only; ``update_task_performance`` reports it."""
        try:
            self._total_score = float(self._total_score + score)
        except TypeError:
            raise InvalidInputError("score", "a number", score) from None
        self._num_completions += 1
        self._mean_score = self._total_score / self._num_completions

    def get_env_cfg(self) -> Any:
        """Return the environment's config."""
        return self._env_cfg

    def get_label(self) -> str:
        """Return the task's label."""
        return self._label

    def get_slice_values(self) -> dict[str, Any]:
        """Return a copy of the task's params."""
        return copy.deepcopy(self._params)

    get_bucket_values = get_slice_values


class Curriculum:
    """The older curriculum, on a server; ``core`` is the handle of today.

    Args:
        config: Its settings.
        url: The server; None: ``REDIS_CURRICULUM_URL``, or a private server.
        name: Which curriculum; None: ``REDIS_CURRICULUM_NAME``, or ``session_id``, or "default".

    Raises:
        InvalidInputError: ``config`` is no ``CurriculumConfig`` of this module.
        ConfigMismatchError: It differs from that of the curriculum of that name.
        ServerError: As of ``redis_curriculum.Curriculum.open``.
    """

    def __init__(
        self, config: CurriculumConfig, url: str | None = None, name: str | None = None
    ) -> None:
        if not isinstance(config, CurriculumConfig):
            raise InvalidInputError(
                "config", "a CurriculumConfig of redis_curriculum.compat", config
            )
        url = url or os.environ.get("REDIS_CURRICULUM_URL") or "embedded://"
        name = name or os.environ.get("REDIS_CURRICULUM_NAME")
        name = name or config.algorithm_config.session_id or "default"
        self._config = config
        self._has_clipped = False
        self._read: dict[str, tuple[int, dict[str, int]]] = {}
        self.core = Core.open(url, name, config.config)
        self._algorithm = LearningProgressAlgorithm(self)

    @property
    def algorithm(self) -> LearningProgressAlgorithm:
        """The older algorithm's methods."""
        return self._algorithm

    def get_task(self) -> CurriculumTask:
        """Draw a task. One round trip."""
        task = self.core.get_task()
        return CurriculumTask(task, self.env_cfg(task))

    def env_cfg(self, task: Task) -> Any:
        """Return the environment's config of a task: its params, or what the generator makes."""
        former = self._config.former
        if former is None or task.params:
            return copy.deepcopy(task.params)
        return former.env_cfg(task.task_id)

    def update_task_performance(self, task_id: int, score: float) -> Outcome:
        """Report a score. One round trip."""
        return self.core.update_task_performance(task_id, self.mapped(score))

    def mapped(self, score: float) -> float:
        """Return a score within ``score_range``: itself, or the nearest end."""
        low, high = self.core.config.score_range
        if not isinstance(score, Real) or math.isnan(score):
            return score  # the handle refuses it
        if not low <= score <= high and not self._has_clipped:
            self._has_clipped = True
            warnings.warn(
                f"the score {score} is outside of [{low:g}, {high:g}] and counts as the nearest"
                " end; CurriculumConfig(score_range=(lowest, highest)) maps all scores",
                CompatWarning,
                stacklevel=3,
            )
        return max(low, min(high, score))

    def get_task_lp_score(self, task_id: int) -> float:
        """Return a task's learning progress; 0 before it has any, or if it is not in the pool."""
        record = self.core.get_task_stats(task_id)
        found = None if record is None else record.statistics.get("learning_progress")
        return found or 0.0

    def stats(self) -> dict[str, float]:
        """Return every figure of today by name."""
        return self.core.stats()

    def get_base_stats(self) -> dict[str, float]:
        """Return the figures that are counts: ``num_created``, ``num_completed`` and so on."""
        return {name: x for name, x in self.stats().items() if name.startswith("num_")}

    def calculate_gini_coefficients(self) -> dict[str, float]:
        """Return the Gini coefficients among the figures."""
        return {name: x for name, x in self.stats().items() if name.startswith("gini/")}

    def get_evictions_this_epoch(self) -> dict[str, int]:
        """Return this epoch's evictions by label."""
        return dict(self._epoch_counts("evictions")[1])

    def get_and_reset_evictions_this_epoch(self) -> dict[str, int]:
        """Return the evictions by label that this object has not returned yet in this epoch.

        Nothing is reset for others: only ``reset_epoch_counters`` ends the epoch.
        """
        return self._unread("evictions")

    def get_and_reset_sampling_counts_this_epoch(self) -> dict[str, int]:
        """Return the draws by label that this object has not returned yet in this epoch."""
        return self._unread("samples")

    def reset_epoch_counters(self) -> None:
        """End the epoch, for all processes: one owner, the trainer, calls it."""
        self.core.end_epoch()

    def get_state(self) -> dict[str, Any]:
        """Return the whole state, for a checkpoint."""
        return self.core.state_dict()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put a state in the place of the present one, entirely or not at all.

        Raises:
            InvalidInputError: It is not of ``get_state``; the older system's states, too.
        """
        self.core.load_state_dict(state)

    def close(self) -> None:
        """Close the connection; the curriculum stays on the server."""
        self.core.close()

    def _epoch_counts(self, what: str) -> tuple[int, Mapping[str, int]]:
        report = self.core.epoch_report()
        assert report is not None  # noqa: S101 - there always is a current one
        return report.epoch, getattr(report, what)

    def _unread(self, what: str) -> dict[str, int]:
        epoch, counts = self._epoch_counts(what)
        last, before = self._read.get(what, (epoch, {}))
        self._read[what] = epoch, dict(counts)
        before = before if last == epoch else {}
        fresh = {label: count - before.get(label, 0) for label, count in counts.items()}
        return {label: count for label, count in fresh.items() if count}


class TaskTracker:
    """The older tracker's questions about tasks, answered by the server. One round trip each."""

    def __init__(self, curriculum: Curriculum) -> None:
        if not isinstance(curriculum, Curriculum):
            rule = "the Curriculum of redis_curriculum.compat that holds the tasks"
            raise InvalidInputError("curriculum", rule, curriculum)
        self._curriculum = curriculum

    def get_task_stats(self, task_id: int) -> dict[str, float] | None:
        """Return a task's statistics by their older names; None if it is not in the pool."""
        record = self._curriculum.core.get_task_stats(task_id)
        if record is None:
            return None
        found = {name: value or 0.0 for name, value in record.statistics.items()}
        found["completion_count"] = record.completion_count
        found["mean_score"] = record.total_score / max(record.completion_count, 1)
        found["last_score"] = record.last_score or 0.0
        found["lp_score"] = found.get("learning_progress", 0.0)
        return found

    def get_task_label(self, task_id: int) -> str | None:
        """Return a task's label; None if it is not in the pool."""
        record = self._curriculum.core.get_task_stats(task_id)
        return None if record is None else record.label

    def get_all_tracked_tasks(self) -> list[int]:
        """Return the ids of the pool's tasks."""
        return self._curriculum.core.task_ids()

    def get_global_stats(self) -> dict[str, float]:
        """Return the number of results, and the mean of the labels' recent scores."""
        rows = self._curriculum.core.label_stats().values()
        means = [row.statistics["reward_ema"] for row in rows if row.statistics.get("reward_ema")]
        total = sum(row.counters["completions"] for row in rows)
        known = [mean for mean in means if mean is not None]
        recent = sum(known) / len(known) if known else 0.0
        return {"total_completions": float(total), "mean_recent_score": recent}

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Report a score; do not report it to the curriculum too."""
        self._curriculum.update_task_performance(task_id, score)

    def remove_task(self, task_id: int) -> None:
        """Take a task out of the pool."""
        self._curriculum.core.evict(task_id)


class LearningProgressAlgorithm:
    """The older algorithm's methods; the server does the work."""

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum
        self.task_tracker = TaskTracker(curriculum)

    def score_tasks(self, task_ids: Iterable[int]) -> dict[int, float]:
        """Return each task's probability to be drawn next; 0 for those not in the pool."""
        chances = self._curriculum.core.distribution()
        return {task_id: chances.get(task_id, 0.0) for task_id in task_ids}

    def get_task_lp_score(self, task_id: int) -> float:
        """Return a task's learning progress."""
        return self._curriculum.get_task_lp_score(task_id)

    def update_task_performance(self, task_id: int, score: float) -> None:
        """Report a score; do not report it to the curriculum too."""
        self._curriculum.update_task_performance(task_id, score)

    def recommend_eviction(self, task_ids: Sequence[int]) -> int | None:
        """Return the task of lowest learning progress; None of none."""
        return min(task_ids, key=self.get_task_lp_score, default=None)

    def stats(self, prefix: str = "") -> dict[str, float]:
        """Return every figure, its name after a prefix."""
        return {f"{prefix}{name}": x for name, x in self._curriculum.stats().items()}


class _Clipping:
    """What a wrapper asks of a curriculum; scores are mapped first."""

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum

    @property
    def config(self) -> _Clipping:
        """What a wrapper reads of a config is here."""
        return self

    @property
    def score_range(self) -> tuple[float, float]:
        """Any number is a score."""
        return float("-inf"), float("inf")

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Results are scores alone."""
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._curriculum.core, name)

    def next_tasks(self, finished: Iterable[Result], count: int) -> Step:
        """Report finished episodes and draw tasks."""
        mapped = [(result[0], self._curriculum.mapped(result[1])) for result in finished]
        return self._curriculum.core.next_tasks(mapped, count)


class CurriculumEnv(CurriculumPufferEnv):
    """The older wrapper: plays a curriculum's tasks in an environment with ``set_mg_config``.

    It does all that the loop did: it reports each episode's mean reward once, and draws and sets
    the next task.
    """

    def __init__(self, env: Any, curriculum: Curriculum) -> None:
        source: Any = _Clipping(curriculum)
        super().__init__(env, source, make_config=curriculum.env_cfg)
