"""A Gymnasium environment that plays a curriculum's tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from redis_curriculum.envs.apply import (
    Apply,
    WatchedOptions,
    cannot_take,
    check_functions,
    put_in,
)
from redis_curriculum.envs.assignments import Assignments, TaskSource
from redis_curriculum.envs.episode import (
    INFO_KEY,
    MisuseError,
    Played,
    checked_reward,
    complaint,
    refuse_key,
    scored,
)
from redis_curriculum.envs.spaces import are_alike
from redis_curriculum.errors import TaskApplyError, shortened
from redis_curriculum.tasks.task import Task

Score = Callable[[dict[str, Any]], Any]
"""Makes the score of an episode from its final info."""

Stepped = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]


class TaskEnv(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Plays the task that it is given: the sub-environment of a ``CurriculumVectorEnv``.

    It takes ``env`` and the two functions as ``CurriculumEnv`` does, but asks no server: the
    vector environment puts ``next_task`` in and reports what comes out. Nothing that a task does
    leaves ``reset`` or ``step`` as an exception, which would end a worker process; a failing task
    is an episode that is truncated.
    """

    takes_tasks = True
    """Whether a ``CurriculumVectorEnv`` may give it tasks."""

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        apply_task: Apply | None = None,
        score: Score | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, apply_task=apply_task, score=score
        )
        _check(env)
        check_functions(apply_task, score)
        super().__init__(env)
        self.next_task: Task | None = None
        self._apply_task = apply_task
        self._score = score
        self._observation: Any = None
        self._played: Played | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of ``next_task``."""
        if self.next_task is None:
            raise MisuseError(f"{self.env} was given no task: reset its CurriculumVectorEnv first")
        self._played = None
        playing = Played(self.next_task)
        try:
            observation, info = self._begin(playing.task, seed, options)
        except Exception as error:  # noqa: BLE001 - whatever a task does wrong
            return self._blank(), {INFO_KEY: playing.failed(error)}
        self._observation, self._played = observation, playing
        return observation, {**info, INFO_KEY: playing}

    def step(self, action: Any) -> Stepped:
        """Take a step; the last one of an episode carries what became of it."""
        playing = self._played
        if playing is None:  # before a reset or after the end: as the environment sees fit
            return self.env.step(action)
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            refuse_key(info, self.env, playing.task)
            reward = checked_reward(reward, self.env, playing.task)
        except Exception as error:  # noqa: BLE001
            self._played = None
            info = {INFO_KEY: playing.failed(error)}
            return copy.deepcopy(self._observation), 0.0, False, True, info
        self._observation = observation
        total, length = playing.total + reward, playing.length + 1
        playing = self._played = Played(playing.task, total, length)
        if terminated or truncated:
            self._played = None
            info = {**info, INFO_KEY: scored(playing, self._score, info, str(self.env))}
        return observation, reward, terminated, truncated, info

    def _begin(
        self, task: Task, seed: int | None, options: dict[str, Any] | None
    ) -> tuple[Any, dict[str, Any]]:
        env, options = put_in(self.env, task, self._apply_task, options)
        if env is not self.env:
            self._exchange(env, task)
        observation, info = self.env.reset(seed=seed, options=options)
        if isinstance(options, WatchedOptions) and not options.was_read:
            raise MisuseError(cannot_take(self.env, task))
        refuse_key(info, self.env, task)
        return observation, info

    def _exchange(self, env: Any, task: Task) -> None:
        """Play in another environment from now on; the spaces stay, learners rely on them."""
        if not isinstance(env, gymnasium.Env):
            what = f"apply_task must return None or a gymnasium.Env, not {type(env).__name__}"
            raise MisuseError(complaint(str(self.env), task, what))
        for space in ("observation_space", "action_space"):
            own, other = getattr(self.env, space), getattr(env, space)
            if not are_alike(own, other):
                env.close()
                what = f"its {space} {other} differs from {own}; pad it to one for all tasks"
                raise MisuseError(complaint(str(env), task, what))
        self.env.close()
        self.env = env

    def _blank(self) -> Any:
        """An observation for a reset that failed; nobody learns from it, it is reset again."""
        if self._observation is None:
            return self.observation_space.sample()
        return copy.deepcopy(self._observation)


def _check(env: object) -> None:
    """Refuse what is no Gymnasium environment, with the wrapper that it needs."""
    if isinstance(env, gymnasium.Env):
        return
    what = f"{shortened(env)} is no gymnasium.Env"
    if isinstance(env, gymnasium.vector.VectorEnv):
        what += (
            " but a vector environment: wrap each sub-environment in TaskEnv where it is made,"
            " and the whole in CurriculumVectorEnv"
        )
    elif hasattr(env, "possible_agents"):
        what += " but has several agents: wrap it in CurriculumParallelEnv"
    raise TaskApplyError(what)


class CurriculumEnv(TaskEnv):
    """Plays a curriculum's tasks, one an episode, and reports the scores.

    A reset begins an episode of the environment's task. When the episode ends, terminated or
    truncated, its score is reported and the next task drawn by one round trip within that last
    ``step``; the next reset plays that one. A reset in mid-episode abandons the episode: nothing is
    reported and another task is drawn. A reset before the first step begins the same task again.
    Wrappers that truncate (``TimeLimit``) belong inside this one: it does not see what ends outside
    of it. It logs a warning when 10 episodes were abandoned, unless that is less than a tenth of
    those that were finished.

    The seed of a reset decides the environment's random numbers, as ever. It does not decide which
    task is played: draws follow the seed of ``CurriculumConfig`` and the results so far. So
    ``spec.nondeterministic`` is true.

    ``info["curriculum"]`` is there after every ``reset`` and after the last step of an episode:

    ==========  =======  =========================================================================
    key         type     meaning
    ==========  =======  =========================================================================
    task_id     int      the task that begins, or that has ended
    label       str      its label
    params      dict     its params (a copy)
    episodes    int      episodes that this environment finished, this one included
    failures    int      tasks that failed in this environment
    outcome     str      at the end: "applied", "evicted" (too late, counted as such), "duplicate"
                         (a retry found it applied), "quarantined" (failed too often), "pending"
                         (a failure before any episode was finished) or "dropped" (a restore came
                         meanwhile, or 10 failures were before it)
    return      float    at the end: the undiscounted sum of rewards
    length      int      at the end: the number of steps
    score       float    at the end, unless the task failed: the score as reported
    error       str      at the end, if the task failed: why
    ==========  =======  =========================================================================

    A task fails if it cannot be applied, reset or stepped, if a reward is no finite number, or if
    the score is none within ``score_range``. ``reset`` then tries other tasks; ``step`` ends the
    episode as truncated with reward 0 and, where there is no new one, the last observation. The
    logger ``redis_curriculum.envs`` has the traceback.

    Where the algorithm goes by costs (``DebiasedProgressConfig(cost_aware=True)``), the number of
    steps is reported as the cost of an episode.

    Failures are reported with ``report_failure``, the first ones not before an episode is finished:
    what fails with every task is no task's fault. Of a row of failures the first
    10 are reported: after them the environment is in doubt. 100 in a row raise
    ``FailingTasksError``, and so do 10 episodes without a score; if no episode has been finished
    until then, none of them is reported.

    Example:
        >>> env = CurriculumEnv(gymnasium.make("Maze-v0"), curriculum)  # doctest: +SKIP
        >>> observation, info = env.reset(seed=0)  # doctest: +SKIP
        >>> info["curriculum"]  # doctest: +SKIP
        {'task_id': 53, 'label': 'maze-9', 'params': {'size': 9}, 'episodes': 0, 'failures': 0}

    Args:
        env: The environment. It takes a task by its ``unwrapped.set_task(params)`` if it has one,
            else as ``reset(options={"task": params})``.
        curriculum: An open curriculum. Environments of one process may share it; closing it is
            the caller's. It pickles with the environment and is a new worker there.
        apply_task: Puts a ``Task`` into the environment instead: ``apply_task(env, task)``. If it
            returns an environment, that one plays from now on and the former one is closed.
        score: Makes the score of the final info, within the curriculum's ``score_range``;
            default: the return.

    Raises:
        InvalidInputError: ``curriculum``, ``apply_task`` or ``score`` cannot be used.
        TaskApplyError: ``env`` is no Gymnasium environment. By ``reset`` and ``step``: the setup is
            wrong (the environment takes no tasks, ``apply_task`` returns something else, or an
            environment with other spaces, ``info`` has the key already). Nothing is reported.
        FailingTasksError: By ``reset`` and ``step``: 100 tasks in a row failed, or 10 had no score.
        ServerError: By ``reset`` and ``step``: the server did not answer; the next reset reports
            what is still to be reported.
    """

    takes_tasks = False

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        curriculum: TaskSource,
        apply_task: Apply | None = None,
        score: Score | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, curriculum=curriculum, apply_task=apply_task, score=score
        )
        super().__init__(env, apply_task, score)
        self._assignments = Assignments(curriculum, str(env))

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """The environment's, but not deterministic: a seed does not decide the task."""
        spec = super().spec
        if spec is not None:
            spec.nondeterministic = True  # it is a copy
        return spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of the task drawn last, or of another one in mid-episode.

        No round trip, but for the first task and after an abandoned episode.
        """
        if self._played is not None and self._played.length:
            self._assignments.abandon(0)
            self._played = None
        while True:
            self._assignments.fill()
            self.next_task = self._assignments.current[0]
            observation, info = super().reset(seed=seed, options=options)
            playing = info[INFO_KEY]
            if not playing.is_over:
                begun = self._assignments.begun(0, playing.task)
                return observation, {**info, INFO_KEY: begun}
            self._assignments.settle({0: playing})

    def step(self, action: Any) -> Stepped:
        """Take a step. One round trip when it ends the episode."""
        observation, reward, terminated, truncated, info = super().step(action)
        played = info.get(INFO_KEY)
        if isinstance(played, Played):
            info[INFO_KEY] = ended = self._assignments.settle({0: played})[0]
            if "error" in ended:
                reward, terminated, truncated = 0.0, False, True
        return observation, reward, terminated, truncated, info
