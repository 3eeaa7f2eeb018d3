"""PettingZoo parallel environments that play a curriculum's tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from pettingzoo.utils import BaseParallelWrapper
from pettingzoo.utils.env import ParallelEnv

from redis_curriculum.envs.apply import Apply, WatchedOptions, cannot_take, put_in
from redis_curriculum.envs.assignments import Assignments, TaskSource
from redis_curriculum.envs.episode import (
    INFO_KEY,
    MisuseError,
    Played,
    complaint,
    mean,
    refuse_key,
    scored,
)
from redis_curriculum.tasks.task import Task

ByAgent = dict[Any, Any]


class CurriculumParallelEnv(BaseParallelWrapper):  # type: ignore[misc]
    """Plays a curriculum's tasks in a PettingZoo parallel environment, all agents the same one.

    As ``CurriculumEnv``, with these differences: an episode ends when no agent is left, and is
    one completion, not one for each agent; ``return`` and the default score are the mean over
    the agents' returns; each agent's info has the same entries under ``"curriculum"``; a step
    that raises truncates all agents.

    Args:
        env: The environment. It takes a task by its ``unwrapped.set_task(params)`` if it has one,
            else as ``reset(options={"task": params})``.
        curriculum: An open curriculum.
        apply_task: Puts a ``Task`` into the environment instead: ``apply_task(env, task)``. If it
            returns an environment, that one plays from now on and the former one is closed.
        score: Makes the score of the final infos, by agent, within ``score_range``.

    Raises:
        TaskApplyError: By ``reset`` and ``step``, as ``CurriculumEnv``.
        FailingTasksError: By ``reset`` and ``step``: 10 tasks in a row failed.
        ServerError: By ``reset`` and ``step``: the server did not answer.
    """

    def __init__(
        self,
        env: ParallelEnv,
        curriculum: TaskSource,
        apply_task: Apply | None = None,
        score: Callable[[ByAgent], Any] | None = None,
    ) -> None:
        super().__init__(env)
        self.env: ParallelEnv = env
        self._assignments = Assignments(curriculum, str(env))
        self._apply_task = apply_task
        self._score = score
        self._played: Played | None = None
        self._returns: dict[Any, float] = {}
        self._observations: ByAgent = {}
        self._has_failed = False

    @property
    def agents(self) -> list[Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The live agents; none after a step that failed."""
        return [] if self._has_failed else self.env.agents

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ByAgent, ByAgent]:
        """Begin an episode of the task drawn last, or of another one in mid-episode."""
        if seed is None and self._played is not None and self._played.length:
            self._assignments.abandon(0)
        while True:
            self._assignments.fill()
            task = self._assignments.current[0]
            assert task is not None  # noqa: S101 - it has just been filled
            playing = Played(task)
            try:
                observations, infos = self._begin(task, seed, options)
            except Exception as error:  # noqa: BLE001 - whatever a task does wrong
                self._assignments.settle({0: playing.failed(error)})
                continue
            self._observations, self._played, self._has_failed = observations, playing, False
            self._returns = dict.fromkeys(observations, 0.0)
            return observations, self._tell(infos, self._assignments.begun(0, task))

    def step(self, actions: ByAgent) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent, ByAgent]:
        """Take a step of every live agent. One round trip when it ends the episode."""
        playing = self._played
        if playing is None:
            return self.env.step(actions)  # type: ignore[no-any-return]
        try:
            observations, rewards, terminated, truncated, infos = self.env.step(actions)
            self._refuse_keys(infos, playing.task)
        except Exception as error:  # noqa: BLE001
            return self._truncate(playing.failed(error))
        self._observations = observations
        for agent, reward in rewards.items():
            self._returns[agent] = self._returns.get(agent, 0.0) + float(reward)
        total, length = mean(list(self._returns.values())), playing.length + 1
        self._played = Played(playing.task, total, length)
        if not self.env.agents:
            played = scored(self._played, self._score, infos, str(self.env))
            self._played = None
            infos = self._tell(infos, self._assignments.settle({0: played})[0])
        return observations, rewards, terminated, truncated, infos

    def _begin(
        self, task: Task, seed: int | None, options: dict[str, Any] | None
    ) -> tuple[ByAgent, ByAgent]:
        env, options = put_in(self.env, task, self._apply_task, options)
        if env is not self.env:
            self._exchange(env, task)
        observations, infos = self.env.reset(seed=seed, options=options)
        if isinstance(options, WatchedOptions) and not options.was_read:
            raise MisuseError(cannot_take(self.env, task))
        self._refuse_keys(infos, task)
        return observations, infos

    def _exchange(self, env: Any, task: Task) -> None:
        """Play in another environment from now on; agents and spaces stay."""
        if not isinstance(env, ParallelEnv):
            what = f"apply_task must return None or a ParallelEnv, not {type(env).__name__}"
            raise MisuseError(complaint(str(self.env), task, what))
        if _shape(env) != _shape(self.env):
            env.close()
            what = "its agents or their spaces differ from before; pad them to one for all tasks"
            raise MisuseError(complaint(str(env), task, what))
        self.env.close()
        self.env = env

    def _truncate(self, played: Played) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent, ByAgent]:
        known = self._observations
        agents = [agent for agent in self.env.agents if agent in known] or list(known)
        self._played, self._has_failed = None, True
        observations = {agent: copy.deepcopy(known[agent]) for agent in agents}
        entries = self._assignments.settle({0: played})[0]
        infos = self._tell({agent: {} for agent in agents}, entries)
        none = dict.fromkeys(agents, 0.0)
        return observations, none, dict.fromkeys(agents, False), dict.fromkeys(agents, True), infos

    def _refuse_keys(self, infos: ByAgent, task: Task) -> None:
        for info in infos.values():
            refuse_key(info, str(self.env), task)

    def _tell(self, infos: ByAgent, entries: dict[str, Any]) -> ByAgent:
        return {agent: {**info, INFO_KEY: copy.deepcopy(entries)} for agent, info in infos.items()}


def _shape(env: ParallelEnv) -> ByAgent:
    return {
        agent: (env.observation_space(agent), env.action_space(agent))
        for agent in env.possible_agents
    }
