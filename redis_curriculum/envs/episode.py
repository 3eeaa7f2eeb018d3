"""What becomes of a task in an environment: told by whoever runs the environment."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from redis_curriculum.errors import TaskApplyError, shortened
from redis_curriculum.tasks.task import Task

INFO_KEY: Final = "curriculum"
"""The one key of ``info`` that belongs to the wrappers."""

log = logging.getLogger("redis_curriculum.envs")


class MisuseError(TaskApplyError):
    """A mistake in the setup, which no other task would mend: raised at once, never reported."""


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
    has_ended: bool = False
    """Whether the environment came to the episode's end; only the score can be wrong then."""

    @property
    def is_over(self) -> bool:
        """Whether there is something to report."""
        return self.score is not None or self.error is not None

    def failed(self, error: BaseException) -> Played:
        """Return the same with an error, which is logged here and now: a text does not tell where.

        Errors of this library say it all, unless another one is their cause.
        """
        task, text = self.task, f"{type(error).__name__}: {error}"
        where: BaseException | None = error
        if isinstance(error, TaskApplyError):
            where, text = error.__cause__, str(error)
        log.warning("task %d (%s) failed: %s", task.task_id, task.label, text, exc_info=where)
        return replace(self, error=text, is_misuse=isinstance(error, MisuseError))

    def finished(self, score: object, environment: str) -> Played:
        """Return the same with the episode's score; what is no finite number is a failure."""
        score_of_it = number(score)
        if math.isfinite(score_of_it):
            return replace(self, score=score_of_it)
        what = f"the score is {shortened(score)}; every episode needs a finite number"
        return self.failed(TaskApplyError(complaint(environment, self.task, what)))


def number(value: object) -> float:
    """Return a number, or an array or tensor of one, as a float; NaN for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = math.nan if np.ma.is_masked(value) else value.item()
    if isinstance(value, (str, bytes, bytearray, complex, np.complexfloating)):
        return math.nan  # float() reads texts, and drops an imaginary part
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - tensors of many, integers beyond floats, anything at all
        return math.nan


def checked_reward(reward: object, env: object, task: Task, agent: object = None) -> float:
    """Return a reward as a float.

    Raises:
        TaskApplyError: It is no finite number; no learner could use it.
    """
    found = number(reward)
    if math.isfinite(found):
        return found
    whose = "" if agent is None else f" of agent {agent!r}"
    what = f"the reward{whose} in a step is {shortened(reward)}; it must be a finite number"
    raise TaskApplyError(complaint(str(env), task, what))


def complaint(environment: str, task: Task, what: str) -> str:
    """An error's text: which environment, which task, what is wrong and what would help."""
    return f"{environment}, task {task.task_id} ({task.label}): {what}"


def scored(
    playing: Played, score: Callable[[Any], Any] | None, info: object, environment: str
) -> Played:
    """End an episode with the user's score of its final info; None: with the return."""
    playing = replace(playing, has_ended=True)
    if score is None:
        return playing.finished(playing.total, environment)
    try:
        value = score(info)
    except Exception as error:  # noqa: BLE001 - whatever the user's function raises
        what = f"`score` raised {type(error).__name__}: {error}; it must score every final info"
        failure = TaskApplyError(complaint(environment, playing.task, what))
        failure.__cause__ = error
        return playing.failed(failure)
    return playing.finished(value, environment)


def refuse_key(info: Mapping[str, Any], env: object, task: Task) -> None:
    """Keep out what would be overwritten.

    Raises:
        MisuseError: The info has the wrappers' key already.
    """
    if INFO_KEY in info:
        what = (
            f"its info already has the key {INFO_KEY!r}, which belongs to this wrapper;"
            " rename it in the environment, and wrap an environment once only"
        )
        raise MisuseError(complaint(str(env), task, what))


def cut_off(failed: Sequence[int], *arrays: Any) -> tuple[Any, Any, Any]:
    """Let episodes whose task failed be truncated, with reward 0; of the arrays of a step."""
    rewards, terminations, truncations = map(np.array, arrays) if failed else arrays
    if failed:
        rewards[failed], terminations[failed], truncations[failed] = 0, False, True
    return rewards, terminations, truncations


def mean(values: Sequence[float]) -> float:
    """The mean over agents; 0 where there were none."""
    return math.fsum(values) / len(values) if values else 0.0
