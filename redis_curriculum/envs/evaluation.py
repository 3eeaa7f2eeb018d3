"""Gymnasium environments that play given tasks and report nothing: for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from math import inf
from typing import Any, Final, NamedTuple, Protocol

import gymnasium
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from redis_curriculum.envs.apply import Apply
from redis_curriculum.envs.assignments import check_handle
from redis_curriculum.envs.single import CurriculumEnv, Score
from redis_curriculum.envs.vector import CurriculumVectorEnv
from redis_curriculum.errors import InvalidInputError
from redis_curriculum.tasks.outcome import Result
from redis_curriculum.tasks.task import Task

EVALUATED: Final = "evaluated"
"""The outcome of an episode that is not reported."""


class TaskRecord(Protocol):
    """What is read of a task's record."""

    @property
    def label(self) -> str:
        """Its label."""
        ...

    @property
    def params(self) -> dict[str, Any]:
        """Its params."""
        ...


class Readable(Protocol):
    """What is read of a curriculum."""

    def labels(self) -> Mapping[str, int]:
        """Return each label's number of active tasks."""
        ...

    def task_ids(self, label: str | None = None) -> list[int]:
        """Return the ids of a label's tasks."""
        ...

    def get_task_stats(self, task_id: int) -> TaskRecord | None:
        """Return a task's record."""
        ...


def evaluation_tasks(curriculum: Readable, per_label: int = 1) -> list[Task]:
    """Read up to ``per_label`` tasks of each label, those of lowest id; the labels take turns.

    Nothing is sampled, counted or changed. Keep the list: the pool changes, and results of one set
    of tasks can be compared. One round trip for the labels, one for each label and each task.

    Raises:
        InvalidInputError: ``curriculum`` is no ``Curriculum`` (an ``AsyncCurriculum`` is none), or
            ``per_label`` is no integer above 0.
        ServerError: The server could not be reached or refused.
    """
    check_handle(curriculum, "labels")
    most = _checked_count(per_label)
    columns = [_read(curriculum, label, most) for label in sorted(curriculum.labels())]
    return [task for row in zip_longest(*columns) for task in row if task is not None]


def _read(curriculum: Readable, label: str, most: int) -> list[Task]:
    found: list[Task] = []
    for task_id in curriculum.task_ids(label):
        record = curriculum.get_task_stats(task_id)
        if record is not None and record.label == label:  # else it has gone since
            found.append(Task(task_id, label, record.params))
        if len(found) == most:
            break
    return found


def _checked_count(count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidInputError("per_label", "an integer above 0", count)
    return count


def _checked_tasks(tasks: object) -> list[Task]:
    found = list(tasks) if isinstance(tasks, Iterable) else []
    if not found or not all(isinstance(task, Task) for task in found):
        raise InvalidInputError("tasks", "at least one Task", tasks)
    return found


class _Given(NamedTuple):
    """Tasks, and what became of the episodes before."""

    tasks: list[Task]
    outcomes: list[str]


class FixedTasks:
    """Hands out given tasks in turn, again and again; what is reported to it is forgotten."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = _checked_tasks(tasks)
        self._next = 0

    @property
    def config(self) -> FixedTasks:
        """What the wrappers read of a config is here."""
        return self

    @property
    def score_range(self) -> tuple[float, float]:
        """Any number is a score."""
        return -inf, inf

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Nothing: results are forgotten."""
        return ()

    def next_tasks(self, finished: Iterable[Result], count: int) -> _Given:
        """Forget the results and hand out the next tasks."""
        first, self._next = self._next, (self._next + count) % len(self.tasks)
        tasks = [self.tasks[(first + i) % len(self.tasks)] for i in range(count)]
        return _Given(tasks, [EVALUATED for _ in finished])

    def report_failure(self, task_id: int, error: BaseException | str) -> str:  # noqa: ARG002
        """Forget it: the log has it."""
        return EVALUATED

    @property
    def generation(self) -> int:
        """Always the same: nothing restores given tasks."""
        return 0

    def reopen(self) -> None:
        """Nothing to do."""

    def register(self) -> str:
        """Do nothing: there is no server."""
        return EVALUATED


class EvaluationEnv(CurriculumEnv):
    """Plays given tasks in turn, one an episode, and reports nothing.

    No server is asked, so nothing is sampled or counted: the curriculum goes on as if there were no
    evaluation. All else is as of ``CurriculumEnv``; the outcome in ``info`` is ``"evaluated"``.
    After the last task the first one follows: ``n * len(tasks)`` episodes play each task n times.

    Example:
        >>> tasks = evaluation_tasks(curriculum, per_label=4)  # doctest: +SKIP
        >>> env = EvaluationEnv(gymnasium.make("Maze-v0"), tasks)  # doctest: +SKIP

    Args:
        env: The environment, as for ``CurriculumEnv``.
        tasks: The tasks: of ``evaluation_tasks``, or of your own as ``Task(0, "hard", params)``.
        apply_task: As for ``CurriculumEnv``.
        score: As for ``CurriculumEnv``; any finite number.

    Raises:
        InvalidInputError: ``tasks`` is empty or holds something else; ``apply_task`` or ``score``
            cannot be used.
        TaskApplyError: As of ``CurriculumEnv``.
        FailingTasksError: By ``reset`` and ``step``: 100 tasks in a row failed, or 10 had no score.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        tasks: Iterable[Task],
        apply_task: Apply | None = None,
        score: Score | None = None,
    ) -> None:
        source = FixedTasks(tasks)
        RecordConstructorArgs.__init__(self, tasks=source.tasks, apply_task=apply_task, score=score)
        super().__init__(env, source, apply_task, score)


class EvaluationVectorEnv(CurriculumVectorEnv):
    """Plays given tasks in the sub-environments of a vector environment, and reports nothing.

    The tasks go to whichever sub-environment is next; those in it are ``TaskEnv``s, as for
    ``CurriculumVectorEnv``. All else is as of ``EvaluationEnv``.

    Args:
        env: The vector environment.
        tasks: As for ``EvaluationEnv``.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], tasks: Iterable[Task]) -> None:
        source = FixedTasks(tasks)
        RecordConstructorArgs.__init__(self, tasks=source.tasks)
        super().__init__(env, source)
