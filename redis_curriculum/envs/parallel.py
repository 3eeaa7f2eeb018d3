"""PettingZoo parallel environments that play a curriculum's tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium
from pettingzoo.utils import BaseParallelWrapper
from pettingzoo.utils.env import AECEnv, ParallelEnv

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
    mean,
    refuse_key,
    scored,
)
from redis_curriculum.envs.spaces import are_alike
from redis_curriculum.errors import TaskApplyError, shortened
from redis_curriculum.tasks.task import Task

ByAgent = dict[Any, Any]


class CurriculumParallelEnv(BaseParallelWrapper):  # type: ignore[misc]
    """Plays a curriculum's tasks in a PettingZoo parallel environment, all agents the same one.

    As ``CurriculumEnv``, with these differences: an episode ends when no agent is left, and is
    one completion, not one for each agent; ``return`` and the default score are the mean over
    the agents' returns; each agent's info has the same entries under ``"curriculum"``; a task that
    fails in a step truncates all agents.

    Args:
        env: The environment; an AEC environment becomes one with
            ``pettingzoo.utils.aec_to_parallel``. It takes a task by its
            ``unwrapped.set_task(params)`` if it has one, else as
            ``reset(options={"task": params})``.
        curriculum: An open curriculum.
        apply_task: Puts a ``Task`` into the environment instead: ``apply_task(env, task)``. If it
            returns an environment, that one plays from now on and the former one is closed.
        score: Makes the score of the final infos, by agent, within ``score_range``.

    Raises:
        InvalidInputError: ``curriculum``, ``apply_task`` or ``score`` cannot be used.
        TaskApplyError: ``env`` is no parallel environment; and as of ``CurriculumEnv``.
        FailingTasksError: By ``reset`` and ``step``: 100 tasks in a row failed, or 10 had no score.
        ServerError: By ``reset`` and ``step``: the server did not answer.
    """

    def __init__(
        self,
        env: ParallelEnv,
        curriculum: TaskSource,
        apply_task: Apply | None = None,
        score: Callable[[ByAgent], Any] | None = None,
    ) -> None:
        _check(env)
        check_functions(apply_task, score)
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
        if self._played is not None and self._played.length:
            self._assignments.abandon(0)
            self._played = None
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
            rewards = {
                agent: checked_reward(reward, self.env, playing.task, agent)
                for agent, reward in rewards.items()
            }
            for agent, reward in rewards.items():
                self._returns[agent] = self._returns.get(agent, 0.0) + reward
            total = mean(list(self._returns.values()))
        except Exception as error:  # noqa: BLE001
            return self._truncate(playing.failed(error))
        self._observations = observations
        self._played = Played(playing.task, total, playing.length + 1)
        if not self.env.agents:
            played = scored(self._played, self._score, infos, str(self.env))
            self._played = None
            entries = self._assignments.settle({0: played})[0]
            infos = self._tell(infos, entries)
            if "error" in entries:
                rewards, terminated, truncated = _cut_off(rewards)
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
        if (difference := _difference(self.env, env)) is not None:
            env.close()
            what = f"{difference}; pad agents and spaces to one set for all tasks"
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
        return observations, *_cut_off(agents), infos

    def _refuse_keys(self, infos: ByAgent, task: Task) -> None:
        for info in infos.values():
            refuse_key(info, self.env, task)

    def _tell(self, infos: ByAgent, entries: dict[str, Any]) -> ByAgent:
        return {agent: {**info, INFO_KEY: copy.deepcopy(entries)} for agent, info in infos.items()}


def _check(env: object) -> None:
    """Refuse what is no parallel environment, with the function or wrapper that it needs."""
    if isinstance(env, ParallelEnv):
        return
    what = f"{shortened(env)} is no ParallelEnv of PettingZoo"
    if isinstance(env, AECEnv):
        what += (
            " but an AEC environment, whose agents act in turn: pass"
            " pettingzoo.utils.aec_to_parallel(env)"
        )
    elif isinstance(env, gymnasium.Env):
        what += " but has one agent: wrap it in CurriculumEnv"
    raise TaskApplyError(what)


def _cut_off(agents: Iterable[Any]) -> tuple[ByAgent, ByAgent, ByAgent]:
    """Rewards, terminations and truncations of agents whose task has failed."""
    names = list(agents)
    return dict.fromkeys(names, 0.0), dict.fromkeys(names, False), dict.fromkeys(names, True)


def _difference(own: ParallelEnv, other: ParallelEnv) -> str | None:
    """Say how another environment's agents or their spaces differ; None where they do not."""
    if set(own.possible_agents) != set(other.possible_agents):
        return f"its agents {other.possible_agents} differ from {own.possible_agents}"
    for agent in own.possible_agents:
        for space in ("observation_space", "action_space"):
            before, now = getattr(own, space)(agent), getattr(other, space)(agent)
            if not are_alike(before, now):
                return f"the {space} {now} of its agent {agent!r} differs from {before}"
    return None
