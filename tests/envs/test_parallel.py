"""CurriculumParallelEnv: one completion an episode, whatever the number of agents."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test
from pettingzoo.utils.env import ParallelEnv

from redis_curriculum.envs import CurriculumParallelEnv
from redis_curriculum.envs.assignments import ATTEMPTS
from redis_curriculum.errors import FailingTasksError, TaskApplyError
from tests.envs.conftest import Opened
from tests.envs.worlds import broken, completions, samples

AGENTS = ["slow", "fast"]


class OptionHike(ParallelEnv):  # type: ignore[misc]
    """Two walkers; the fast one gets twice the reward and is there a step earlier."""

    metadata = {"name": "hike"}  # noqa: RUF012 - as PettingZoo has it

    def __init__(self) -> None:
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        self.task: dict[str, Any] = {}
        self.is_closed = False

    def observation_space(self, agent: str) -> Any:  # noqa: ARG002
        return SPACE

    def action_space(self, agent: str) -> Any:
        return ACTIONS[agent]

    def reset(self, seed: Any = None, options: Any = None) -> Any:  # noqa: ARG002
        if options and "task" in options:
            self.task = options["task"]
        self._break("reset")
        self.agents, self._at = list(AGENTS), 0
        return {agent: self._observe() for agent in AGENTS}, {agent: {} for agent in AGENTS}

    def step(self, actions: Any) -> Any:  # noqa: ARG002
        self._at += 1
        self._break("step")
        live, length = self.agents, self.task["length"]
        over = {"slow": self._at >= length, "fast": self._at >= max(length - 1, 1)}
        by_time = self.task["end"] == "time"
        self.agents = [agent for agent in live if not over[agent]]
        return (
            {agent: self._observe() for agent in live},
            {agent: self.task["reward"] * (1 + (agent == "fast")) for agent in live},
            {agent: over[agent] and not by_time for agent in live},
            {agent: over[agent] and by_time for agent in live},
            {agent: {"at": self._at} for agent in live},
        )

    def close(self) -> None:
        self.is_closed = True

    def _break(self, place: str) -> None:
        if self.task.get("broken") == place:
            raise RuntimeError(f"the hike broke in {place}")

    def _observe(self) -> Any:
        return np.array([self._at / 16], dtype=np.float32)


class Hike(OptionHike):
    """The same with ``set_task``."""

    def set_task(self, params: dict[str, Any]) -> None:
        self.task = params
        self._break("apply")


SPACE = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
ACTIONS = {agent: gymnasium.spaces.Discrete(2) for agent in AGENTS}


def play(env: CurriculumParallelEnv) -> tuple[dict[str, float], Any]:
    """One episode: the sum of each agent's rewards and the last infos."""
    env.reset()
    totals = dict.fromkeys(AGENTS, 0.0)
    infos: Any = {}
    while env.agents:
        _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, 0))
        for agent, reward in rewards.items():
            totals[agent] += reward
    return totals, infos


@pytest.mark.parametrize("world", [Hike, OptionHike])
def test_pettingzoos_own_test(
    opened: Opened, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    parallel_api_test(CurriculumParallelEnv(world(), opened()), num_cycles=60)


def test_an_episode_is_one_completion_with_the_mean_return(opened: Opened) -> None:
    curriculum = opened()
    hike = Hike()
    env = CurriculumParallelEnv(hike, curriculum)
    expected = []
    for i in range(40):
        totals, infos = play(env)
        told = next(iter(infos.values()))["curriculum"]
        assert told["return"] == told["score"] == (totals["slow"] + totals["fast"]) / 2
        assert told["params"] == hike.task
        assert told["length"] == hike.task["length"]
        assert told["episodes"] == i + 1
        expected.append((told["task_id"], told["score"]))
    assert curriculum.reports == expected
    assert sum(completions(curriculum).values()) == 40
    assert samples(curriculum) == 41


def test_each_agent_is_told_the_task(opened: Opened) -> None:
    _, infos = CurriculumParallelEnv(Hike(), opened()).reset()
    assert set(infos) == set(AGENTS)
    assert infos["slow"]["curriculum"] == infos["fast"]["curriculum"]
    infos["slow"]["curriculum"]["params"].clear()
    assert infos["fast"]["curriculum"]["params"]


def test_a_reset_in_mid_episode_draws_another_task(opened: Opened) -> None:
    curriculum = opened(task_generator=broken([""]))
    env = CurriculumParallelEnv(Hike(), curriculum)
    env.reset()
    env.reset()
    env.step(dict.fromkeys(AGENTS, 0))
    env.reset(seed=1)
    assert samples(curriculum) == 1
    env.step(dict.fromkeys(AGENTS, 0))
    env.reset()
    assert samples(curriculum) == 2
    assert not completions(curriculum)


def test_a_score_of_the_final_infos(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumParallelEnv(Hike(), curriculum, score=lambda infos: infos["slow"]["at"] / 8)
    _, infos = play(env)
    assert curriculum.reports[0][1] == infos["slow"]["at"] / 8
    wrong = CurriculumParallelEnv(Hike(), curriculum, score=lambda infos: None)
    with pytest.raises(TaskApplyError, match="the score is None"):
        play(wrong)
    assert len(curriculum.failed) == 1


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_failing_tasks_are_replaced(opened: Opened, place: str) -> None:
    curriculum = opened(size=16, task_generator=broken([place, "", " ", "  "]))
    env = CurriculumParallelEnv(Hike(), curriculum)
    errors = 0
    for _ in range(40):
        _, infos = play(env)
        told = next(iter(infos.values()))["curriculum"]
        errors += "error" in told
        if "error" in told:
            assert set(infos) == set(AGENTS), "all agents are truncated"
            assert told["error"] == "RuntimeError: the hike broke in step"
    assert curriculum.failed
    assert errors == (len(curriculum.failed) if place == "step" else 0)
    assert len(curriculum.reports) == 40 - errors == sum(completions(curriculum).values())


def test_an_agent_that_joins_in_the_step_that_fails(opened: Opened) -> None:
    class Joined(Hike):
        def _break(self, place: str) -> None:
            if place == "step" and self.agents:
                self.agents.append("late")
            super()._break(place)

    curriculum = opened(task_generator=broken(["step"]))
    env = CurriculumParallelEnv(Joined(), curriculum)
    env.reset()
    *_, truncated, infos = env.step(dict.fromkeys(AGENTS, 0))
    assert truncated == dict.fromkeys(AGENTS, True)
    assert "broke in step" in infos["slow"]["curriculum"]["error"]
    assert len(curriculum.failed) == 1


def test_when_all_fail_one_error_has_every_cause(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset"]))
    with pytest.raises(FailingTasksError) as caught:
        CurriculumParallelEnv(Hike(), curriculum).reset()
    assert caught.value.causes == curriculum.failed
    assert len(curriculum.failed) == ATTEMPTS


def test_apply_task_may_build_another(opened: Opened) -> None:
    first, built = Hike(), Hike()

    def build(env: Any, task: Any) -> Any:
        built.set_task(task.params)
        return built

    env = CurriculumParallelEnv(first, opened(), apply_task=build)
    play(env)
    play(env)
    assert first.is_closed
    assert not built.is_closed


class Alone(Hike):
    def __init__(self) -> None:
        super().__init__()
        self.possible_agents = ["slow"]


class Deaf(OptionHike):
    def reset(self, seed: Any = None, options: Any = None) -> Any:  # noqa: ARG002
        self.task = {"length": 1, "reward": 0.0, "end": "goal"}
        return super().reset(seed, None)


class Taken(Hike):
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observations, _ = super().reset(seed, options)
        return observations, {agent: {"curriculum": 1} for agent in AGENTS}


@pytest.mark.parametrize(
    ("env", "apply", "said"),
    [
        (Hike(), lambda env, task: Alone(), "its agents or their spaces differ"),
        (Hike(), lambda env, task: 1, "None or a ParallelEnv, not int"),
        (Deaf(), None, "takes no tasks"),
        (Taken(), None, "already has the key 'curriculum'"),
    ],
)
def test_what_does_not_fit(opened: Opened, env: Any, apply: Any, said: str) -> None:
    curriculum = opened()
    with pytest.raises(TaskApplyError, match=said):
        CurriculumParallelEnv(env, curriculum, apply_task=apply).reset()
    assert len(curriculum.failed) == 1
