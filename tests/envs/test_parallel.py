"""CurriculumParallelEnv: one completion an episode, whatever the number of agents."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test
from pettingzoo.utils import aec_to_parallel, parallel_to_aec
from pettingzoo.utils.env import ParallelEnv

from redis_curriculum.envs import CurriculumParallelEnv
from redis_curriculum.envs.assignments import ATTEMPTS
from redis_curriculum.errors import (
    FailingTasksError,
    InvalidInputError,
    ServerUnavailableError,
    TaskApplyError,
)
from redis_curriculum.tasks import Buckets
from tests.envs.conftest import Opened
from tests.envs.worlds import Walk, broken, completions, samples

AGENTS = ["slow", "fast"]


class OptionHike(ParallelEnv):  # type: ignore[misc]
    """Two walkers; the fast one gets twice the reward and is there a step earlier."""

    metadata = {"name": "hike"}  # noqa: RUF012 - as PettingZoo has it
    render_mode = None

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
    env.reset(seed=1)
    assert samples(curriculum) == 1, "no step was taken"
    for i, seed in enumerate([1, None, 1]):
        env.step(dict.fromkeys(AGENTS, 0))
        env.reset(seed=seed)
        assert samples(curriculum) == 2 + i
    assert not completions(curriculum)


def test_a_server_that_was_gone_at_an_abandoning_reset(opened: Opened) -> None:
    """The task that is drawn afterwards is played, not abandoned in turn."""
    curriculum = opened(task_generator=broken(["", " "]))
    env = CurriculumParallelEnv(Hike(), curriculum)
    env.reset()
    env.step(dict.fromkeys(AGENTS, 0))
    curriculum.errors = [ServerUnavailableError("gone"), ServerUnavailableError("gone")]
    for _ in range(2):
        with pytest.raises(ServerUnavailableError):
            env.reset()
    assert env._assignments._abandoned == 1  # noqa: SLF001
    env.reset()
    assert len(curriculum.drawn) == 2


def test_a_step_that_raises_ends_with_the_last_observations(opened: Opened) -> None:
    class Late(Hike):
        def _break(self, place: str) -> None:
            if place == "step" and self._at == 2:
                super()._break(place)

    walks: Any = {"broken": ["step"], "length": [4], "reward": [0.0], "end": ["goal"]}
    env = CurriculumParallelEnv(Late(), opened(task_generator=Buckets(label="w", buckets=walks)))
    env.reset()
    before, *_ = env.step(dict.fromkeys(AGENTS, 0))
    after, *_, truncated, _ = env.step(dict.fromkeys(AGENTS, 0))
    assert truncated == dict.fromkeys(AGENTS, True)
    assert after == before
    assert after["slow"][0] > 0


def test_a_score_of_the_final_infos(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumParallelEnv(Hike(), curriculum, score=lambda infos: infos["slow"]["at"] / 8)
    _, infos = play(env)
    assert curriculum.reports[0][1] == infos["slow"]["at"] / 8


def test_a_score_that_is_none_is_the_failure_of_its_task(opened: Opened) -> None:
    def score(infos: Any) -> float | None:
        return None if infos["slow"]["at"] == 2 else 0.5

    curriculum = opened()
    env = CurriculumParallelEnv(Hike(), curriculum, score=score)
    errors = 0
    for _ in range(40):
        env.reset()
        while True:
            _, rewards, terminated, truncated, infos = env.step(dict.fromkeys(env.agents, 0))
            if not env.agents:
                break
        told = infos["slow"]["curriculum"]
        assert ("error" in told) == (told["length"] == 2)
        if "error" in told:
            errors += 1
            assert rewards == dict.fromkeys(infos, 0.0)
            assert terminated == dict.fromkeys(infos, False)
            assert truncated == dict.fromkeys(infos, True)
    assert len(curriculum.failed) == errors > 3
    assert all("the score is None" in text for _, text in curriculum.failed)
    assert sum(completions(curriculum).values()) == 40 - errors


@pytest.mark.parametrize("reward", [math.nan, math.inf, None, "1"])
def test_a_reward_that_is_no_number_fails_its_task(opened: Opened, reward: Any) -> None:
    class Odd(Hike):
        def step(self, actions: Any) -> Any:
            seen, rewards, *rest = super().step(actions)
            if self.task["broken"] == "reward":
                rewards |= {"slow": reward}
            return seen, rewards, *rest

    curriculum = opened(size=16, task_generator=broken(["reward", "", " ", "  "]))
    env = CurriculumParallelEnv(Odd(), curriculum)
    while len(curriculum.failed) < 3:
        totals, infos = play(env)
        assert all(map(math.isfinite, totals.values()))
        told = infos["slow"]["curriculum"]
        assert ("error" in told) == (told["label"] == "walk-reward")
    assert all("the reward of agent 'slow' in a step is" in text for _, text in curriculum.failed)


def test_where_no_episode_has_a_score_it_is_an_error(opened: Opened) -> None:
    curriculum = opened(score_range=(10.0, 20.0))
    for _ in range(8):
        env = CurriculumParallelEnv(Hike(), curriculum)
        with pytest.raises(TaskApplyError, match=r"score_range \[10, 20\]"):
            play_many(env)
    assert not curriculum.failed


def play_many(env: CurriculumParallelEnv) -> None:
    for _ in range(ATTEMPTS + 1):
        play(env)


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


def test_an_agent_that_has_ended_is_not_truncated_by_a_later_failure(opened: Opened) -> None:
    class Breaking(Hike):
        def _break(self, place: str) -> None:
            if place == "step" and self._at == 3:
                raise RuntimeError("late")

    walks = Buckets(label="w", buckets={"length": [3], "reward": [1 / 64], "end": ["goal"]})
    env = CurriculumParallelEnv(Breaking(), opened(task_generator=walks))
    env.reset()
    env.step(dict.fromkeys(env.agents, 0))
    env.step(dict.fromkeys(env.agents, 0))
    assert env.agents == ["slow"]
    seen, _, _, truncated, _ = env.step({"slow": 0})
    assert truncated == {"slow": True}
    assert seen.keys() == {"slow"}
    assert env.agents == []


def test_an_agent_that_joins_in_the_step_that_fails(opened: Opened) -> None:
    class Joined(Hike):
        def _break(self, place: str) -> None:
            if place == "step" and self.agents:
                self.agents.append("late")
            super()._break(place)

    env = CurriculumParallelEnv(Joined(), opened(task_generator=broken(["step"])))
    env.reset()
    *_, truncated, infos = env.step(dict.fromkeys(AGENTS, 0))
    assert truncated == dict.fromkeys(AGENTS, True)
    assert "broke in step" in infos["slow"]["curriculum"]["error"]


def test_when_all_fail_one_error_has_every_cause(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset"]))
    for _ in range(2):
        with pytest.raises(FailingTasksError) as caught:
            CurriculumParallelEnv(Hike(), curriculum).reset()
        assert len(caught.value.causes) == ATTEMPTS
    assert not curriculum.failed


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


class Wide(Hike):
    def observation_space(self, agent: str) -> Any:
        return SPACE if agent == "slow" else gymnasium.spaces.Box(0.0, 1.0, (6,), np.float32)


class Free(Hike):
    def action_space(self, agent: str) -> Any:  # noqa: ARG002
        return gymnasium.spaces.Discrete(9)


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
        (
            Hike(),
            lambda env, task: Alone(),
            r"its agents \['slow'\] differ from \['slow', 'fast'\]",
        ),
        (Hike(), lambda env, task: Wide(), "observation_space .*6,.* of its agent 'fast' differs"),
        (
            Hike(),
            lambda env, task: Free(),
            r"action_space Discrete\(9\) of its agent 'slow' differs",
        ),
        (Hike(), lambda env, task: 1, "None or a ParallelEnv, not int"),
        (Deaf(), None, "takes no tasks"),
        (Taken(), None, "already has the key 'curriculum'"),
    ],
)
def test_what_does_not_fit(opened: Opened, env: Any, apply: Any, said: str) -> None:
    curriculum = opened()
    with pytest.raises(TaskApplyError, match=said):
        CurriculumParallelEnv(env, curriculum, apply_task=apply).reset()
    assert not curriculum.failed


def test_a_built_environment_with_other_bounds(opened: Opened) -> None:
    class Farther(Hike):
        def observation_space(self, agent: str) -> Any:  # noqa: ARG002
            return gymnasium.spaces.Box(-1.0, 3.0, (1,), np.float32)

    def build(env: Any, task: Any) -> Any:
        built = Farther()
        built.set_task(task.params)
        return built

    play(CurriculumParallelEnv(Hike(), opened(), apply_task=build))


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (parallel_to_aec(Hike()), r"but an AEC environment.*pettingzoo\.utils\.aec_to_parallel"),
        (Walk(), "but has one agent: wrap it in CurriculumEnv"),
        ("hike", "'hike' is no ParallelEnv of PettingZoo$"),
    ],
)
def test_what_is_no_parallel_environment(opened: Opened, env: Any, said: str) -> None:
    with pytest.raises(TaskApplyError, match=said):
        CurriculumParallelEnv(env, opened())


def test_an_aec_environment_made_parallel(opened: Opened) -> None:
    curriculum = opened()
    hike = Hike()
    env = aec_to_parallel(parallel_to_aec(hike))
    play(CurriculumParallelEnv(env, curriculum))
    assert len(curriculum.reports) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"apply_task": 1}, r"apply_task must be a function of \(env, task\)"),
        ({"score": lambda infos, agent: 1.0}, "score must be a function"),
        ({"curriculum": None}, "curriculum must be an open Curriculum"),
    ],
)
def test_arguments_that_cannot_be_used(opened: Opened, arguments: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        CurriculumParallelEnv(Hike(), **{"curriculum": opened()} | arguments)
