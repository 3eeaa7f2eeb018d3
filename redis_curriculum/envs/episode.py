"""What becomes of a task in an environment: told by whoever runs the environment."""

from __future__ import annotations

import logging
import math
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from redis_curriculum.errors import TaskApplyError
from redis_curriculum.tasks.task import Task

INFO_KEY: Final = "curriculum"
"""The one key of ``info`` that belongs to the wrappers."""

log = logging.getLogger("redis_curriculum.envs")


class MisuseError(TaskApplyError):
    """What no other task would make better: raised at once, after the failure is reported."""


@dataclass(frozen=True)
class Played:
    """What has become of a task in its environment. Travels between processes, hence no error."""

    task: Task
    total: float = 0.0
    """The sum of rewards so far."""
    length: int = 0
    score: float | None = None
    """Set when an episode ended well."""
    error: str | None = None
    """Set when the task could not be applied or run."""
    is_misuse: bool = False

    @property
    def is_over(self) -> bool:
        """Whether there is something to report."""
        return self.score is not None or self.error is not None

    def failed(self, error: BaseException) -> Played:
        """Return the same with an error, which is logged with its traceback here and now."""
        task = self.task
        text = (
            str(error) if isinstance(error, TaskApplyError) else f"{type(error).__name__}: {error}"
        )
        log.warning("task %d (%s) failed: %s", task.task_id, task.label, text, exc_info=error)
        return replace(self, error=text, is_misuse=isinstance(error, MisuseError))

    def finished(self, score: object, environment: str) -> Played:
        """Return the same with the episode's score; what is no number is a failure."""
        try:
            number = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number) and not isinstance(score, str):
            return replace(self, score=number)
        what = f"the score is {score!r}; let `score` return a finite number for every final info"
        return self.failed(MisuseError(complaint(environment, self.task, what)))


def complaint(environment: str, task: Task, what: str) -> str:
    """An error's text: which environment, which task, what is wrong and what would help."""
    return f"{environment}, task {task.task_id} ({task.label}): {what}"


class Params(UserDict[str, Any]):
    """A task's params in an info.

    Not a dict: vector environments take those apart by key, and force the type of the first
    environment's value on the others.
    """


def scored(
    playing: Played, score: Callable[[Any], Any] | None, info: object, environment: str
) -> Played:
    """End an episode with the user's score of its final info; None: with the return."""
    if score is None:
        return playing.finished(playing.total, environment)
    try:
        value = score(info)
    except Exception as error:  # noqa: BLE001 - whatever the user's function raises
        what = f"`score` raised {type(error).__name__}: {error}; it must score every final info"
        misuse = MisuseError(complaint(environment, playing.task, what))
        misuse.__cause__ = error
        return playing.failed(misuse)
    return playing.finished(value, environment)


def refuse_key(info: Mapping[str, Any], environment: str, task: Task) -> None:
    """Keep out what would be overwritten.

    Raises:
        MisuseError: The info has the wrappers' key already.
    """
    if INFO_KEY in info:
        what = (
            f"its info already has the key {INFO_KEY!r}, which belongs to this wrapper;"
            " rename it in the environment, and wrap an environment once only"
        )
        raise MisuseError(complaint(environment, task, what))


def mean(values: Sequence[float]) -> float:
    """The mean over agents; 0 where there were none."""
    return math.fsum(values) / len(values) if values else 0.0
