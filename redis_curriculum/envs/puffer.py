"""Environments with PufferLib's interface that play a curriculum's tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from redis_curriculum.envs.apply import check_function
from redis_curriculum.envs.assignments import Assignments, TaskSource
from redis_curriculum.envs.episode import INFO_KEY, Played, complaint, mean, scored
from redis_curriculum.errors import TaskApplyError, shortened
from redis_curriculum.tasks.task import Task

try:
    from pufferlib import PufferEnv as PufferEnv  # noqa: PLC0414 - exported; its vector backends take nothing else
except ImportError:
    PufferEnv = object

Infos = list[dict[str, Any]]
Stepped = tuple[Any, Any, Any, Any, Infos]


class TaskedPufferEnv(Protocol):
    """What is needed of an environment: one episode at a time, in which all agents take part.

    It resets itself with the step after the last one of an episode, to the config set last.
    """

    num_agents: int
    rewards: NDArray[Any]
    terminals: NDArray[Any]
    truncations: NDArray[Any]

    def set_mg_config(self, config: Any) -> None:
        """Take the config of the next episode."""
        ...

    def get_episode_rewards(self) -> NDArray[Any]:
        """Return the episode's sum of rewards so far, shape (num_agents,)."""
        ...

    def reset(self, seed: int | None = None) -> tuple[Any, Infos]:
        """Begin an episode."""
        ...

    def step(self, actions: Any) -> Stepped:
        """Take a step of every agent."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def _of_env(name: str) -> Any:
    return property(lambda self: getattr(self.env, name), doc=f"The environment's ``{name}``.")


class CurriculumPufferEnv(PufferEnv):  # type: ignore[misc,valid-type,unused-ignore]
    """Plays a curriculum's tasks in a PufferLib environment, all agents the same one.

    The episode is over when every agent has been terminal or truncated; it is one completion,
    not one for each agent, and its score is the mean of ``get_episode_rewards()``. It is reported,
    the next task drawn and set by one round trip within that step. The step's infos then have one
    more entry, ``{"curriculum": {...}}`` as of ``CurriculumEnv``; so have those of ``reset``.

    A task that fails is reported, or not, as by ``CurriculumEnv``, and another one is tried. If it
    fails in a step, all agents are told truncated with reward 0; in mid-episode the environment is
    reset with the next task at once. A reset in mid-episode draws another task. It passes
    as a ``pufferlib.PufferEnv`` where PufferLib is installed, and works without.

    Args:
        env: The environment; its buffers stay its own.
        curriculum: An open curriculum.
        make_config: Makes of a ``Task`` what ``set_mg_config`` takes; default: its params.

    Raises:
        InvalidInputError: ``curriculum`` or ``make_config`` cannot be used.
        TaskApplyError: ``env`` lacks ``set_mg_config`` or ``get_episode_rewards``.
        FailingTasksError: By ``reset`` and ``step``: 100 tasks in a row failed, or 10 had no score.
    """

    single_observation_space = _of_env("single_observation_space")
    single_action_space = _of_env("single_action_space")
    observation_space = _of_env("observation_space")
    action_space = _of_env("action_space")
    num_agents = _of_env("num_agents")
    agent_ids = _of_env("agent_ids")
    metadata = _of_env("metadata")
    observations = _of_env("observations")
    actions = _of_env("actions")
    teacher_actions = _of_env("teacher_actions")
    rewards = _of_env("rewards")
    terminals = _of_env("terminals")
    truncations = _of_env("truncations")
    masks = _of_env("masks")

    def __init__(
        self,
        env: TaskedPufferEnv,
        curriculum: TaskSource,
        make_config: Callable[[Task], Any] | None = None,
    ) -> None:
        for name in ("set_mg_config", "get_episode_rewards"):
            if not callable(getattr(env, name, None)):
                raise TaskApplyError(
                    f"{shortened(env)} cannot play tasks: it has no {name}(); give it one, or"
                    " wrap it in a class that has"
                )
        check_function("make_config", make_config, "task")
        self.env = env
        self._assignments = Assignments(curriculum, type(env).__name__)
        self._make_config = make_config or (lambda task: copy.deepcopy(task.params))
        self._done = np.zeros(env.num_agents, dtype=np.bool_)
        self._played: Played | None = None
        self._is_begun = False
        self._to_reset = False
        """Whether the environment is to be reset before its next step: it was left within one."""

    def reset(self, seed: int | None = None) -> tuple[Any, Infos]:
        """Begin an episode of the task drawn last, or of another one in mid-episode."""
        if self._played is not None and self._played.length:
            self._assignments.abandon(0)
            self._played = None
        self._to_reset = True
        while True:
            playing = self._set_task()
            try:
                observations, infos = self.env.reset(seed)
            except Exception as error:  # noqa: BLE001 - whatever a task does wrong
                self._assignments.settle({0: playing.failed(error)})
                continue
            self._is_begun, self._to_reset = True, False
            return observations, self._tell(infos, self._assignments.begun(0, playing.task))

    def step(self, actions: Any) -> Stepped:
        """Take a step of every agent. One round trip when it ends the episode."""
        if not self._is_begun:
            return self.env.step(actions)  # type: ignore[no-any-return,unused-ignore]
        if self._to_reset:  # the server was gone when a task had failed
            self.reset()
        playing = self._played or self._set_task()  # None: the server was gone in the step before
        try:
            observations, rewards, terminals, truncations, infos = self.env.step(actions)
            self._check_rewards(rewards, playing.task)
            self._done |= np.asarray(terminals, dtype=bool) | np.asarray(truncations, dtype=bool)
            is_over = bool(self._done.all())
            total = mean(self.env.get_episode_rewards().tolist()) if is_over else 0.0
        except Exception as error:  # noqa: BLE001
            return self._truncate(playing.failed(error))
        self._played = Played(playing.task, total, playing.length + 1)
        if is_over:
            played = scored(self._played, None, infos, type(self.env).__name__)
            self._played = None
            entries = self._assignments.settle({0: played})[0]
            self._set_task()
            infos = self._tell(infos, entries)
            if "error" in entries:
                rewards, terminals, truncations = self._cut_off()
        return observations, rewards, terminals, truncations, infos

    def close(self) -> None:
        """Close the environment; the curriculum stays open."""
        self.env.close()

    def _set_task(self) -> Played:
        """Set the config of the next episode's task, or of another one where that fails."""
        while True:
            self._assignments.fill()
            task = self._assignments.current[0]
            assert task is not None  # noqa: S101 - it has just been filled
            playing = Played(task)
            try:
                self.env.set_mg_config(self._make_config(task))
            except Exception as error:  # noqa: BLE001
                self._assignments.settle({0: playing.failed(error)})
                continue
            self._played, self._done[:] = playing, False
            return playing

    def _truncate(self, played: Played) -> Stepped:
        self._played, self._to_reset = None, True
        entries = self._assignments.settle({0: played})[0]
        observations, infos = self.reset()
        return observations, *self._cut_off(), [{INFO_KEY: entries}, *infos]

    def _cut_off(self) -> tuple[Any, Any, Any]:
        """Tell all agents that they are truncated, with reward 0, in the environment's buffers."""
        self.env.rewards[:], self.env.terminals[:], self.env.truncations[:] = 0, False, True
        return self.env.rewards, self.env.terminals, self.env.truncations

    def _check_rewards(self, rewards: Any, task: Task) -> None:
        if not np.isfinite(rewards).all():
            what = f"the rewards of a step are {rewards}; they must be finite numbers"
            raise TaskApplyError(complaint(type(self.env).__name__, task, what))

    def _tell(self, infos: Infos, entries: dict[str, Any]) -> Infos:
        return [*infos, {INFO_KEY: entries}]
