"""CurriculumPufferEnv on a PufferLib-like environment, and in PufferLib where that is."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest

from redis_curriculum.envs import CurriculumPufferEnv
from redis_curriculum.envs.assignments import ATTEMPTS
from redis_curriculum.envs.puffer import PufferEnv  # pyright: ignore[reportAttributeAccessIssue]
from redis_curriculum.errors import (
    FailingTasksError,
    InvalidInputError,
    ServerUnavailableError,
    TaskApplyError,
)
from tests.envs.conftest import Opened
from tests.envs.worlds import Watched, broken, completions, samples, with_outages

AGENTS = 3


class Relay(PufferEnv):  # type: ignore[misc,valid-type,unused-ignore]
    """Agent i gets i times the reward and has run after length - i steps; resets itself."""

    single_observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    single_action_space = gymnasium.spaces.Discrete(2)
    num_agents = AGENTS

    def __init__(self, buf: Any = None) -> None:
        if PufferEnv is not object:
            super().__init__(buf)
        else:
            self.observations = np.zeros((AGENTS, 1), dtype=np.float32)
            self.rewards = np.zeros(AGENTS, dtype=np.float32)
            self.terminals = np.zeros(AGENTS, dtype=bool)
            self.truncations = np.zeros(AGENTS, dtype=bool)
        self.config: dict[str, Any] = {}
        self.task: dict[str, Any] = {}
        self.begun: list[dict[str, Any]] = []
        self.is_closed = False
        self._is_over = True

    def set_mg_config(self, config: dict[str, Any]) -> None:
        if config.get("broken") == "apply":
            raise RuntimeError("the relay broke in apply")
        self.config = config

    def get_episode_rewards(self) -> Any:
        return self._totals

    def reset(self, seed: int | None = None) -> Any:  # noqa: ARG002
        self.task = dict(self.config)
        if self.task.get("broken") == "reset":
            raise RuntimeError("the relay broke in reset")
        self.begun.append(self.task)
        self._at, self._is_over = 0, False
        self._totals = np.zeros(AGENTS)
        self._tell(np.zeros(AGENTS), np.zeros(AGENTS, dtype=bool))
        return self.observations, []

    def step(self, actions: Any) -> Any:  # noqa: ARG002
        if self._is_over:
            self.reset()
        self._at += 1
        if self.task.get("broken") == "step":
            raise RuntimeError("the relay broke in step")
        ends_at = np.maximum(self.task["length"] - np.arange(AGENTS), 1)
        rewards = self.task["reward"] * np.arange(AGENTS) * (self._at <= ends_at)
        self._totals += rewards
        self._tell(rewards, self._at == ends_at)
        self._is_over = self._at >= self.task["length"]
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def close(self) -> None:
        self.is_closed = True

    def _tell(self, rewards: Any, over: Any) -> None:
        by_time = self.task["end"] == "time"
        self.observations[:] = self._at / 16
        self.rewards[:] = rewards
        self.terminals[:], self.truncations[:] = over & (not by_time), over & by_time


def play(env: CurriculumPufferEnv, steps: int) -> list[dict[str, Any]]:
    """Take steps; what was told at the ends of episodes, with the rewards added up beside it."""
    ended, totals = [], np.zeros(AGENTS)
    for _ in range(steps):
        _, rewards, _, truncations, infos = env.step(np.zeros(AGENTS, dtype=int))
        totals += rewards
        for told in (info["curriculum"] for info in infos if "curriculum" in info):
            if "outcome" in told:
                ended.append(told | {"rewards": totals.copy(), "truncations": truncations.copy()})
                totals[:] = 0
    return ended


@pytest.mark.parametrize("place", ["step", "reset"])
def test_a_failure_while_the_server_was_gone_is_not_put_down_to_the_next_task(
    opened: Opened, place: str
) -> None:
    """The environment went on with the task that had failed, as if it were the next one."""
    curriculum = opened(size=16, task_generator=broken([place, "", " ", "  "]))
    relay = Relay()
    env = CurriculumPufferEnv(relay, curriculum)
    env.reset()
    gone = with_outages(curriculum, lambda: env.step(np.zeros(AGENTS, dtype=int)), 120)
    records = {i: r for i in curriculum.task_ids() if (r := curriculum.get_task_stats(i))}
    assert gone > 10
    assert curriculum.failed
    assert all(records[i].params["broken"] == place for i, _ in curriculum.failed if i in records)
    assert all(records[i].params["broken"] != place for i, _ in curriculum.reports if i in records)


def test_a_step_before_the_first_reset_is_the_environments_own(opened: Opened) -> None:
    curriculum, relay = opened(), Relay()
    relay.config = {"length": 2, "reward": 1 / 64, "end": "goal"}
    env = CurriculumPufferEnv(relay, curriculum)
    for _ in range(4):
        assert env.step(np.zeros(AGENTS, dtype=int))[4] == []
    assert not curriculum.counts
    assert not curriculum.reports


def test_an_episode_is_one_completion_with_the_mean_over_agents(opened: Opened) -> None:
    curriculum = opened(score_range=(0.0, 2.0))
    relay = Relay()
    env = CurriculumPufferEnv(relay, curriculum)
    _, infos = env.reset(seed=1)
    assert infos[-1]["curriculum"]["params"] == relay.task
    ended = play(env, 100)
    assert len(ended) > 20
    for told, task in zip(ended, relay.begun, strict=False):
        assert told["params"] == task
        assert told["length"] == task["length"]
        assert told["return"] == told["score"] == told["rewards"].mean()
    assert curriculum.reports == [(told["task_id"], told["score"]) for told in ended]
    assert sum(completions(curriculum).values()) == len(ended)
    assert samples(curriculum) == len(ended) + 1
    env.close()
    assert relay.is_closed


def test_configs_may_be_made_of_tasks(opened: Opened) -> None:
    relay = Relay()
    env = CurriculumPufferEnv(
        relay, opened(), make_config=lambda task: task.params | {"label": task.label}
    )
    _, infos = env.reset()
    assert relay.task["label"] == infos[-1]["curriculum"]["label"]


def test_a_reset_in_mid_episode_draws_another_task(opened: Opened) -> None:
    curriculum = opened(task_generator=broken([""]))
    env = CurriculumPufferEnv(Relay(), curriculum)
    env.reset()
    env.reset()
    env.reset(seed=1)
    assert samples(curriculum) == 1, "no step was taken"
    for i, seed in enumerate([1, None, 1]):
        play(env, 1)
        env.reset(seed=seed)
        assert samples(curriculum) == 2 + i
    assert not completions(curriculum)


def test_a_server_that_was_gone_at_an_abandoning_reset(opened: Opened) -> None:
    curriculum = opened(task_generator=broken([""]))
    env = CurriculumPufferEnv(Relay(), curriculum)
    env.reset()
    play(env, 1)
    curriculum.errors = [ServerUnavailableError("gone"), ServerUnavailableError("gone")]
    for _ in range(2):
        with pytest.raises(ServerUnavailableError):
            env.reset()
    assert env._assignments._abandoned == 1, "one episode, not each try"  # noqa: SLF001
    env.reset()
    assert samples(curriculum) == 2


def test_what_the_environment_does_to_its_config_stays_there(opened: Opened) -> None:
    class Careless(Relay):
        def set_mg_config(self, config: dict[str, Any]) -> None:
            super().set_mg_config(dict(config))
            config.clear()

    env = CurriculumPufferEnv(Careless(), opened())
    env.reset()
    assert all("length" in told["params"] for told in play(env, 10))


def test_steps_go_on_after_the_server_was_gone(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumPufferEnv(Relay(), curriculum)
    env.reset()
    curriculum.errors = [ServerUnavailableError("gone"), ServerUnavailableError("gone")]
    for _ in range(2):
        with pytest.raises(ServerUnavailableError):
            play(env, 10)
    assert not curriculum.reports
    ended = play(env, 20)
    assert len(curriculum.reports) == len(ended) + 1 == sum(completions(curriculum).values())
    assert len(curriculum.drawn) == len(curriculum.reports) + 1


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_failing_tasks_are_replaced(opened: Opened, place: str) -> None:
    curriculum = opened(size=16, task_generator=broken([place, "", " ", "  "]))
    env = CurriculumPufferEnv(Relay(), curriculum)
    env.reset()
    ended = play(env, 100)
    errors = [told for told in ended if "error" in told]
    assert curriculum.failed
    assert all(f"the relay broke in {place}" in text for _, text in curriculum.failed)
    for told in errors:
        assert not told["rewards"].any()
        assert told["truncations"].all()
    scores = [(told["task_id"], told["score"]) for told in ended if "score" in told]
    assert curriculum.reports == scores
    assert sum(completions(curriculum).values()) == len(scores) > 10


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_when_all_fail_one_error_has_every_cause(opened: Opened, place: str) -> None:
    curriculum = opened(size=16, task_generator=broken([place]))
    env = CurriculumPufferEnv(Relay(), curriculum)
    with pytest.raises(FailingTasksError) as caught:
        reset_and_play(env)
    assert len(caught.value.causes) == ATTEMPTS
    assert not curriculum.failed


def reset_and_play(env: CurriculumPufferEnv) -> None:
    env.reset()
    play(env, ATTEMPTS + 1)


def test_returns_outside_the_range(opened: Opened) -> None:
    curriculum = opened(score_range=(10.0, 20.0))
    for _ in range(8):
        env = CurriculumPufferEnv(Relay(), curriculum)
        env.reset()
        with pytest.raises(TaskApplyError, match=r"the curriculum's score_range \[10, 20\]"):
            play(env, 60)
    assert not curriculum.failed


@pytest.mark.parametrize("kind", ["rewards", "total"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_one_bad_number_is_the_failure_of_its_task(
    opened: Opened, kind: str, number: float
) -> None:
    class Odd(Relay):
        def step(self, actions: Any) -> Any:
            stepped = super().step(actions)
            if self.task["length"] == 2:
                (self.rewards if kind == "rewards" else self._totals)[0] = number
            return stepped

    curriculum = opened()
    env = CurriculumPufferEnv(Odd(), curriculum)
    env.reset()
    ended = play(env, 150)
    errors = [told for told in ended if "error" in told]
    assert len(errors) == len(curriculum.failed) > 3
    for told in ended:
        assert np.isfinite(told["rewards"]).all(), "no learner sees it"
        assert ("error" in told) == (told["params"]["length"] == 2)
        assert told["truncations"].all() or "error" not in told
    assert sum(completions(curriculum).values()) == len(ended) - len(errors)


def test_arguments_that_cannot_be_used(opened: Opened) -> None:
    with pytest.raises(InvalidInputError, match=r"make_config must be a function of \(task\)"):
        CurriculumPufferEnv(Relay(), opened(), make_config=lambda: 1)  # type: ignore[arg-type,misc]
    with pytest.raises(InvalidInputError, match="curriculum must be an open Curriculum"):
        CurriculumPufferEnv(Relay(), None)  # type: ignore[arg-type]


def test_environments_that_cannot_take_tasks(opened: Opened) -> None:
    class Fixed:
        num_agents = 1

    with pytest.raises(TaskApplyError, match="it has no set_mg_config"):
        CurriculumPufferEnv(Fixed(), opened())  # type: ignore[arg-type]


@pytest.mark.skipif(find_spec("pufferlib") is None, reason="PufferLib is not installed")
def test_in_pufferlib(opened: Opened) -> None:
    """Serial is what all of PufferLib's backends run in each process."""
    import pufferlib.vector

    curriculum = opened()

    def make(buf: Any = None, seed: int = 0) -> CurriculumPufferEnv:
        return CurriculumPufferEnv(Relay(buf), curriculum)

    vector = pufferlib.vector.make(make, num_envs=2, backend=pufferlib.vector.Serial)
    vector.async_reset(seed=0)
    ended = []
    for _ in range(60):
        infos = vector.recv()[-3]
        ended += [told["curriculum"] for told in infos if "outcome" in told.get("curriculum", {})]
        vector.send(np.zeros(2 * AGENTS, dtype=np.int32))
    assert len(ended) > 20
    assert isinstance(curriculum, Watched)
    reported = [(told["task_id"], told["score"]) for told in ended]
    assert curriculum.reports[: len(reported)] == reported
    vector.close()
