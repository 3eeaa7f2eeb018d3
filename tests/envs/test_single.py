"""CurriculumEnv: one environment that plays tasks and reports what became of them."""

from __future__ import annotations

import json
import math
import operator
import pickle
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import AsyncMock

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from pettingzoo.utils.env import ParallelEnv

from redis_curriculum import AsyncCurriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._store import read
from redis_curriculum.config import CurriculumConfig, DebiasedProgressConfig
from redis_curriculum.envs import CurriculumEnv, TaskEnv
from redis_curriculum.envs.assignments import ATTEMPTS, DOUBTFUL
from redis_curriculum.envs.spaces import are_alike
from redis_curriculum.errors import (
    FailingTasksError,
    InvalidInputError,
    ServerUnavailableError,
    TaskApplyError,
    WorkerFencedError,
)
from redis_curriculum.tasks import Buckets, Single, Task
from tests.envs.conftest import Opened
from tests.envs.worlds import WALKS, OptionWalk, Walk, Watched, broken, completions, samples
from tests.servers import RunningServer

gymnasium.register("Walk-v0", entry_point="tests.envs.worlds:Walk")
gymnasium.register("OptionWalk-v0", entry_point="tests.envs.worlds:OptionWalk")

AT_RESET = {"task_id", "label", "params", "episodes", "failures"}
AT_END = AT_RESET | {"outcome", "return", "length"}


def play(env: gymnasium.Env[Any, Any], action: int = 0) -> tuple[float, dict[str, Any]]:
    """One episode to its end: the sum of rewards and the final info."""
    env.reset()
    total = 0.0
    while True:
        _, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        if terminated or truncated:
            return total, info
        assert "curriculum" not in info


def play_many(env: gymnasium.Env[Any, Any]) -> None:
    for _ in range(ATTEMPTS + 1):
        play(env)


# --- Gymnasium's own rules -----------------------------------------------------------------------


@pytest.mark.parametrize("world", ["Walk-v0", "OptionWalk-v0"])
def test_check_env(opened: Opened, world: str) -> None:
    env = CurriculumEnv(gymnasium.make(world), opened())
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(env)
    env.close()


def test_its_spec_makes_another_on_the_same_curriculum(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(gymnasium.make("Walk-v0"), curriculum)
    assert env.spec is not None
    other = env.spec.make()
    play(other)
    play(other)
    assert sum(completions(curriculum).values()) == 2
    other.close()


def test_seed_and_options_arrive(opened: Opened) -> None:
    walk = OptionWalk()
    env = CurriculumEnv(walk, opened())
    first, _ = env.reset(seed=7, options={"own": 1})
    _, seed, options = walk.resets[-1]
    assert seed == 7
    assert options is not None
    assert options["own"] == 1
    env.reset()
    again, _ = env.reset(seed=7)
    np.testing.assert_array_equal(first, again)


def test_pickled_it_plays_on_as_another_worker(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    play(env)
    other = pickle.loads(pickle.dumps(env))
    total, info = play(other)
    assert info["curriculum"]["return"] == total
    play(env)
    assert sum(completions(curriculum).values()) == 3
    other._assignments._curriculum.close()  # noqa: SLF001


# --- an episode ----------------------------------------------------------------------------------


def test_every_episode_counts_once_and_in_order(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    episodes = []
    for i in range(60):
        total, info = play(env, action=i % 2)
        episodes.append((info["curriculum"]["task_id"], total))
        assert info["curriculum"]["return"] == info["curriculum"]["score"] == total
        assert info["curriculum"]["episodes"] == i + 1
    assert curriculum.reports == episodes
    counted = completions(curriculum)
    assert sum(counted.values()) == 60
    for task_id, count in counted.items():
        record = curriculum.get_task_stats(task_id)
        assert record is not None
        assert count == sum(task_id == known for known, _ in episodes)
        assert record.total_score == sum(s for known, s in episodes if known == task_id)


def test_the_task_that_is_told_is_the_task_that_is_played(opened: Opened) -> None:
    walk = Walk()
    env = CurriculumEnv(walk, opened())
    ends = set()
    for _ in range(30):
        _, info = env.reset()
        assert set(info["curriculum"]) == AT_RESET
        assert info["curriculum"]["params"] == walk.task
        assert info["curriculum"]["label"] == f"walk-{walk.task['length']}"
        terminated, truncated, length = False, False, 0
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(0)
            length += 1
        assert set(info["curriculum"]) == AT_END | {"score"}
        assert info["curriculum"]["params"] == walk.task
        assert info["curriculum"]["outcome"] == "applied"
        assert info["curriculum"]["length"] == length == walk.task["length"]
        assert info["at"] == length, "the environment's own info stays"
        ends.add((terminated, truncated))
    assert ends == {(True, False), (False, True)}


def test_one_round_trip_an_episode(opened: Opened, server: RunningServer) -> None:
    env = CurriculumEnv(Walk(), opened())
    play(env)
    with server.client() as client:

        def calls() -> int:
            return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

        before = calls()
        for _ in range(20):
            play(env)
        assert calls() - before == 20


def at_a_long_walk(env: CurriculumEnv) -> dict[str, Any]:
    """Reset to a walk of three steps or more; its info."""
    while True:
        _, info = env.reset()
        if info["curriculum"]["params"]["length"] >= 3:
            return dict(info["curriculum"])
        env.step(0)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_reset_in_mid_episode_draws_another_task(opened: Opened, seed: int | None) -> None:
    """Whatever the seed: it seeds the environment, not the draws."""
    curriculum = opened(task_generator=broken(["", " "]))
    walk = Walk()
    env = CurriculumEnv(walk, curriculum)
    env.reset(seed=seed)
    seen = set()
    for _ in range(20):
        env.step(0)
        _, info = env.reset(seed=seed)
        assert walk.resets[-1][1] == seed
        seen.add(info["curriculum"]["task_id"])
    assert len(seen) > 5
    assert samples(curriculum) == 21
    assert not completions(curriculum)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_reset_without_a_step_begins_the_task_again(opened: Opened, seed: int | None) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    _, first = env.reset(seed=seed)
    drawn = samples(curriculum)
    _, again = env.reset(seed=seed)
    assert again["curriculum"] == first["curriculum"]
    assert samples(curriculum) == drawn


def test_what_was_abandoned_is_in_no_return(opened: Opened) -> None:
    curriculum = opened(task_generator=broken(["", " "]))
    env = CurriculumEnv(Walk(), curriculum)
    env.reset()
    env.step(1)
    total, info = play(env)
    assert info["curriculum"]["return"] == total
    assert info["curriculum"]["length"] == info["curriculum"]["params"]["length"]


def test_a_server_that_was_gone_at_an_abandoning_reset(opened: Opened) -> None:
    """The task that is drawn afterwards is played, not abandoned in turn."""
    curriculum = opened(task_generator=broken(["", " "]))
    env = CurriculumEnv(Walk(), curriculum)
    env.reset()
    env.step(0)
    curriculum.errors = [ServerUnavailableError("gone")]
    with pytest.raises(ServerUnavailableError):
        env.reset()
    _, info = env.reset()
    assert info["curriculum"]["task_id"] == curriculum.drawn[-1]
    assert len(curriculum.drawn) == 2


@pytest.mark.parametrize("seed", [None, 3])
def test_a_time_limit_outside_is_noticed(
    opened: Opened, caplog: pytest.LogCaptureFixture, seed: int | None
) -> None:
    walks = Buckets(label="walk", buckets={"length": [3], "reward": [0.0], "end": ["goal"]})
    curriculum = opened(task_generator=walks)
    play_many(gymnasium.wrappers.TimeLimit(CurriculumEnv(Walk(), curriculum), 3))
    assert len(curriculum.reports) == ATTEMPTS + 1
    assert not caplog.records
    env = gymnasium.wrappers.TimeLimit(CurriculumEnv(Walk(), curriculum), 2)
    for _ in range(30):
        env.reset(seed=seed)
        env.step(0)
        env.step(0)
    assert len(curriculum.reports) == ATTEMPTS + 1
    (record,) = caplog.records
    assert "10 episodes were reset before their end" in record.getMessage()
    assert "TimeLimit" in record.getMessage()


def test_a_time_limit_that_cuts_off_some_episodes_is_noticed(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """Never many in a row; but no result of a long walk is ever reported."""
    walks = Buckets(label="walk", buckets={"length": [1, 3], "reward": [0.0], "end": ["goal"]})
    curriculum = opened(task_generator=walks)
    env = gymnasium.wrappers.TimeLimit(CurriculumEnv(Walk(), curriculum), 2)
    for _ in range(60):
        play(env)
    assert len(curriculum.reports) > 10
    (record,) = caplog.records
    assert "10 episodes were reset before their end" in record.getMessage()


def test_a_few_abandoned_episodes_among_many_are_nothing_to_say(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    walks = Buckets(label="walk", buckets={"length": [2], "reward": [0.0], "end": ["goal"]})
    env = CurriculumEnv(Walk(), opened(task_generator=walks))
    for i in range(220):
        play(env)
        if not i % 20:
            env.reset()
            env.step(0)
    assert not caplog.records


def test_steps_beyond_the_end_report_nothing(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    play(env)
    env.step(0)
    env.step(0)
    assert len(curriculum.reports) == 1


def test_a_step_before_the_first_reset_is_the_callers_mistake(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(gymnasium.make("Walk-v0"), curriculum)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    assert not curriculum.failed


def test_a_task_evicted_in_mid_episode_is_told(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    _, info = env.reset()
    curriculum.evict(info["curriculum"]["task_id"])
    _, info = play(env)
    assert info["curriculum"]["outcome"] == "evicted"


# --- how the task gets in ------------------------------------------------------------------------


def test_apply_task_may_change_the_environment(opened: Opened) -> None:
    def apply(env: Any, task: Task) -> None:
        env.unwrapped.task = dict(task.params)

    walk = OptionWalk()
    env = CurriculumEnv(walk, opened(), apply_task=apply)
    for _ in range(5):
        _, info = play(env)
        assert walk.task == info["curriculum"]["params"]
    assert all(options is None for _, _, options in walk.resets)


def test_apply_task_may_build_another(opened: Opened) -> None:
    built: list[Walk] = []

    def build(env: Any, task: Task) -> Walk:
        built.append(Walk())
        built[-1].set_task(task.params)
        return built[-1]

    env = CurriculumEnv(Walk(), opened(), apply_task=build)
    for _ in range(5):
        _, info = play(env)
        assert built[-1].task == info["curriculum"]["params"]
        assert env.unwrapped is built[-1]
    assert [walk.is_closed for walk in built] == [True] * 4 + [False]


def test_what_the_environment_does_to_its_params_stays_there(opened: Opened) -> None:
    class Careless(Walk):
        def set_task(self, params: dict[str, Any]) -> None:
            super().set_task(dict(params))
            params.clear()

    nested = {"length": 1, "reward": 0.0, "end": "goal", "deep": {"er": 1}}
    env = CurriculumEnv(Careless(), opened(task_generator=Single(label="x", params=nested)))
    _, info = env.reset()
    assert info["curriculum"]["params"] == nested
    info["curriculum"]["params"]["deep"].clear()
    _, info = env.reset()
    assert info["curriculum"]["params"] == nested


# --- scores --------------------------------------------------------------------------------------


def test_returns_are_mapped_by_the_score_range(opened: Opened) -> None:
    curriculum = opened(score_range=(-1.0, 3.0))
    env = CurriculumEnv(Walk(), curriculum)
    total, info = play(env, action=1)
    record = curriculum.get_task_stats(info["curriculum"]["task_id"])
    assert record is not None
    assert record.last_score == (total + 1) / 4


@pytest.mark.parametrize("reward", [0.05, float(np.float32(0.1)), -0.05])
def test_rounding_does_not_leave_the_range(opened: Opened, reward: float) -> None:
    steps = round(1 / abs(reward))
    walks = Buckets(label="walk", buckets={"length": [steps], "reward": [reward], "end": ["goal"]})
    bound = math.copysign(1.0, reward)
    curriculum = opened(task_generator=walks, score_range=(min(bound, 0.0), max(bound, 0.0)))
    _, info = play(CurriculumEnv(Walk(), curriculum))
    told = info["curriculum"]
    assert abs(told["return"]) > 1
    assert told["score"] == bound
    assert curriculum.reports == [(told["task_id"], bound)]


def test_the_users_score_of_the_final_info(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum, score=lambda info: np.float32(info["at"] / 8))
    total, info = play(env)
    assert info["curriculum"]["score"] == info["at"] / 8
    assert info["curriculum"]["return"] == total
    assert curriculum.reports == [(info["curriculum"]["task_id"], info["at"] / 8)]


def raises(info: Any) -> float:
    raise KeyError("no such thing")


class Unreadable:
    def __float__(self) -> float:
        raise RuntimeError("a tensor of many")


NO_SCORES = [
    (None, "the score is None"),
    (float("nan"), "the score is nan"),
    (np.float32("inf"), "the score is .*inf"),
    (-math.inf, "the score is -inf"),
    ("0.5", "the score is '0.5'"),
    (b"0.5", "the score is b'0.5'"),
    (0.5 + 0j, "the score is"),
    (np.complex64(0.5), "the score is"),
    (np.array([0.25, 0.75]), "the score is array"),
    (np.ma.array([0.25], mask=True), "the score is masked_array"),
    pytest.param(10**5_000, "the score is a int without a repr", id="a gigantic integer"),
    ([0.5], r"the score is \[0.5\]"),
    (10**400, "the score is 1000"),
    (Unreadable(), "the score is <tests.envs"),
    (1.5, r"the score 1.5 is outside the curriculum's score_range \[0, 1\]"),
    (-0.5, "the score -0.5 is outside"),
    (raises, "`score` raised KeyError: 'no such thing'"),
]


@pytest.mark.parametrize(("score", "said"), NO_SCORES)
def test_a_score_that_is_none_is_the_failure_of_its_task(
    opened: Opened, score: Any, said: str
) -> None:
    """The first episode is scored, so the environment works."""

    def scored(info: dict[str, Any]) -> Any:
        if curriculum.reports:
            return score(info) if callable(score) else score
        return 0.5

    curriculum = opened()
    env = CurriculumEnv(gymnasium.make("Walk-v0"), curriculum, score=scored)
    play(env)
    env.reset()
    while True:
        seen, reward, terminated, truncated, info = env.step(1)
        if terminated or truncated:
            break
    assert (reward, terminated, truncated) == (0.0, False, True)
    told = info["curriculum"]
    ((task_id, text),) = curriculum.failed
    assert (told["task_id"], told["error"], told["outcome"]) == (task_id, text, "applied")
    assert re.search(said, text)
    assert f"<Walk<Walk-v0>>>>, task {task_id}" in text
    assert told["return"] > 0 or not told["params"]["reward"], "what was played is told"
    assert seen[0] > 0
    assert sum(completions(curriculum).values()) == 1


@pytest.mark.parametrize(("score", "said"), NO_SCORES)
def test_an_environment_that_never_scores_is_an_error(
    opened: Opened, score: Any, said: str
) -> None:
    curriculum = opened()
    make_score = score if callable(score) else lambda info: score
    for _ in range(8):
        env = CurriculumEnv(Walk(), curriculum, score=make_score)
        with pytest.raises(FailingTasksError, match=said) as caught:
            play_many(env)
        assert len(caught.value.causes) == DOUBTFUL, "each has cost an episode"
        assert isinstance(caught.value, TaskApplyError)
        assert caught.value.task_id == caught.value.causes[-1][0]
    assert not curriculum.failed
    assert not curriculum.quarantine()
    assert not curriculum.stats()["num_failures"]


@pytest.mark.parametrize(
    ("score", "number"),
    [
        (True, 1.0),
        (np.bool_(1), 1.0),
        (np.int8(1), 1.0),
        (np.float16(0.5), 0.5),
        (np.array(0.5), 0.5),
        (np.array([0.5]), 0.5),
        (Fraction(1, 4), 0.25),
        (Decimal("0.25"), 0.25),
        (1 + 1e-7, 1.0),
    ],
)
def test_scores_of_other_kinds(opened: Opened, score: Any, number: float) -> None:
    curriculum = opened()
    _, info = play(CurriculumEnv(Walk(), curriculum, score=lambda info: score))
    assert info["curriculum"]["score"] == number
    assert type(info["curriculum"]["score"]) is float
    assert curriculum.reports == [(info["curriculum"]["task_id"], number)]


class Rewarding(Walk):
    """Gives a certain reward with the second step, where the task says so."""

    reward: Any = math.nan

    def step(self, action: Any) -> Any:
        seen, reward, *rest = super().step(action)
        bad = self.task["broken"] == "reward" and self._at == 2
        return seen, self.reward if bad else reward, *rest


@pytest.mark.parametrize(
    "reward", [math.nan, math.inf, None, "1", np.array([0.0, 1.0]), np.float32("nan")]
)
@pytest.mark.parametrize("score", [None, lambda info: 0.5])
def test_a_reward_that_is_no_number_fails_its_task(opened: Opened, reward: Any, score: Any) -> None:
    """At once, and no learner sees it."""
    curriculum = opened(size=16, task_generator=broken(["reward", "", " ", "  "]))
    walk = Rewarding()
    walk.reward = reward
    env = CurriculumEnv(walk, curriculum, score=score)
    while len(curriculum.failed) < 3:
        total, info = play(env)
        assert math.isfinite(total)
        told = info["curriculum"]
        assert ("error" in told) == (told["label"] == "walk-reward")
        if "error" in told:
            assert told["length"] == 1, "with the step that broke it"
            assert "reward in a step is" in told["error"]


def test_rewards_of_other_kinds(opened: Opened) -> None:
    curriculum = opened(task_generator=broken(["reward"]))
    walk = Rewarding()
    walk.reward = np.array([0.25], dtype=np.float32)
    _, info = play(CurriculumEnv(walk, curriculum))
    assert info["curriculum"]["return"] >= 0.25
    json.dumps(info["curriculum"])


# --- failing tasks -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["apply", "reset"])
def test_another_task_is_tried(opened: Opened, place: str) -> None:
    curriculum = opened(size=16, task_generator=broken([place, ""]))
    env = CurriculumEnv(Walk(), curriculum)
    for _ in range(40):
        total, info = play(env)
        assert info["curriculum"]["label"] == "walk-"
        assert info["curriculum"]["return"] == total
        assert info["curriculum"]["failures"] == len(curriculum.failed)
    assert len(curriculum.reports) == 40
    assert curriculum.failed
    assert all(f"the walk broke in {place}" in text for _, text in curriculum.failed)


def test_broken_tasks_leave_the_pool(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset", "", " ", "  "]))
    env = CurriculumEnv(Walk(), curriculum)
    created = set(curriculum.task_ids("walk-reset"))
    assert created
    for _ in range(2000):
        play(env)
        if not created & set(curriculum.task_ids("walk-reset")):
            break
    assert not created & set(curriculum.task_ids("walk-reset"))
    assert len(curriculum.task_ids()) == 16
    assert curriculum.check() == []


def test_a_step_that_raises_truncates_its_episode(opened: Opened) -> None:
    curriculum = opened(size=64, task_generator=broken(["step", ""]))
    env = CurriculumEnv(Walk(), curriculum)
    while not curriculum.reports:
        play(env)
    while len(curriculum.failed) < 5:
        env.reset()
        before, *_ = env.step(0)
        observation, reward, terminated, truncated, info = env.step(0)
        if "error" not in info.get("curriculum", {}):
            continue
        np.testing.assert_array_equal(observation, before)
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert set(info["curriculum"]) == AT_END | {"error"}
        assert info["curriculum"]["error"] == "RuntimeError: the walk broke in step"
        assert info["curriculum"]["length"] == 1
        assert curriculum.failed[-1] == (info["curriculum"]["task_id"], info["curriculum"]["error"])
    assert len(curriculum.reports) == sum(completions(curriculum).values())


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_when_all_fail_one_error_has_every_cause(opened: Opened, place: str) -> None:
    """No task has worked, so no task is at fault: two starts take none out of the pool."""
    curriculum = opened(size=4, task_generator=broken([place]))
    tasks = curriculum.task_ids()
    for _ in range(2):
        env = CurriculumEnv(Walk(), curriculum)
        with pytest.raises(FailingTasksError, match=r"100 tasks in a row.*none was") as caught:
            play_many(env)
        assert len(caught.value.causes) == ATTEMPTS
        drawn = curriculum.drawn[-ATTEMPTS - 1 : -1]
        assert [task_id for task_id, _ in caught.value.causes] == drawn
        assert str(caught.value).count(f"the walk broke in {place}") == 10
        assert str(caught.value).endswith("and 90 more (causes)")
    assert not curriculum.failed
    assert curriculum.task_ids() == tasks


def test_what_was_dropped_is_not_reported_later(opened: Opened) -> None:
    """An environment that is mended after the error: its first failures were not the tasks'."""
    tries = []

    def apply(env: Any, task: Task) -> None:
        tries.append(task)
        if len(tries) <= ATTEMPTS:
            raise OSError("no simulator")
        env.set_task(task.params)

    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum, apply_task=apply)
    with pytest.raises(FailingTasksError, match="none was reported"):
        env.reset()
    play(env)
    assert len(curriculum.reports) == 1
    assert not curriculum.failed


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_when_all_fail_after_one_that_worked_ten_are_reported(opened: Opened, place: str) -> None:
    worked: list[dict[str, Any]] = []

    def fail_later(env: Any, task: Task) -> None:
        env.set_task(task.params | ({} if worked else {"broken": ""}))
        worked.append(task.params)

    curriculum = opened(size=64, task_generator=broken([place]))
    env = CurriculumEnv(Walk(), curriculum, apply_task=fail_later)
    play(env)
    for i in (1, 2):
        with pytest.raises(FailingTasksError, match=r"100 tasks in a row.*first 10 were") as caught:
            play_many(env)
        assert caught.value.causes[:DOUBTFUL] == curriculum.failed[-DOUBTFUL:]
        assert len(curriculum.failed) == i * DOUBTFUL


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_few_sound_tasks_among_broken_ones_are_found(opened: Opened, place: str) -> None:
    """One in thirty works: that is no mistake in the setup, and what fails is taken out."""
    curriculum = opened(size=60, task_generator=broken([place] * 29 + [""]), seed=5)
    env = CurriculumEnv(Walk(), curriculum)
    while not curriculum.reports:
        play(env)
    assert len(curriculum.drawn) > DOUBTFUL + 1
    assert len(curriculum.failed) == DOUBTFUL
    while not curriculum.quarantine():
        play(env)


def test_a_simulator_that_breaks_down_and_comes_back_costs_few_tasks(opened: Opened) -> None:
    tries = []

    def apply(env: Any, task: Task) -> None:
        tries.append(task)
        if 5 < len(tries) <= 4 + ATTEMPTS:
            raise OSError("no simulator")
        env.set_task(task.params)

    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum, apply_task=apply)
    while len(tries) <= 4 + ATTEMPTS:
        play(env)
    assert len(curriculum.failed) == DOUBTFUL


@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_first_failures_wait_for_an_episode_that_is_finished(opened: Opened, place: str) -> None:
    curriculum = opened(size=16, task_generator=broken([place, "", " ", "  "]))
    most = 0
    for _ in range(50):
        env, failures = CurriculumEnv(Walk(), curriculum), len(curriculum.failed)
        _, info = play(env)
        waiting = [info["curriculum"]] if "error" in info["curriculum"] else []
        while "error" in info["curriculum"]:
            assert info["curriculum"]["outcome"] == "pending"
            assert len(curriculum.failed) == failures
            _, info = play(env)
            waiting += [info["curriculum"]] if "error" in info["curriculum"] else []
        assert len(curriculum.failed) - failures == info["curriculum"]["failures"]
        told = [(one["task_id"], one["error"]) for one in waiting]
        assert curriculum.failed[failures:] == told or place != "step"
        most = max(most, len(curriculum.failed) - failures)
    assert most > 1


def test_episodes_between_failures_reset_the_limit(opened: Opened) -> None:
    curriculum = opened(size=64, task_generator=broken(["step", ""]))
    env = CurriculumEnv(Walk(), curriculum)
    while len(curriculum.failed) < 2 * ATTEMPTS:
        play(env)


def test_the_traceback_is_logged(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    env = CurriculumEnv(Walk(), opened(size=4, task_generator=broken(["apply"])))
    with pytest.raises(FailingTasksError):
        env.reset()
    assert len(caplog.records) == ATTEMPTS
    assert caplog.records[0].name == "redis_curriculum.envs"
    assert 'self._break("apply")' in caplog.text


# --- environments that do not fit ----------------------------------------------------------------


class NoOptions(gymnasium.Wrapper[Any, Any, Any, Any]):
    """No ``options``, as before Gymnasium."""

    @property
    def unwrapped(self) -> Any:
        return self

    def reset(self, *, seed: int | None = None) -> Any:  # type: ignore[override]
        return self.env.reset(seed=seed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gymnasium.make("FrozenLake-v1"),
        lambda: gymnasium.make("CartPole-v1"),
        lambda: NoOptions(gymnasium.make("FrozenLake-v1")),
    ],
)
def test_an_environment_that_cannot_take_tasks(opened: Opened, make: Any) -> None:
    curriculum = opened()
    for _ in range(8):
        env = CurriculumEnv(make(), curriculum)
        with pytest.raises(TaskApplyError, match=r"takes no tasks.*pass apply_task=") as caught:
            env.reset()
        assert str(env.env) in str(caught.value)
        assert caught.value.task_id in curriculum.drawn
        env.close()
    assert not curriculum.failed


@pytest.mark.parametrize(
    "copied", [lambda options: {**options}, dict, lambda options: options.copy(), lambda o: o | {}]
)
def test_options_may_be_copied_on_the_way(opened: Opened, copied: Any) -> None:
    class Copying(gymnasium.Wrapper[Any, Any, Any, Any]):
        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return self.env.reset(seed=seed, options=copied(options))

    play(CurriculumEnv(Copying(OptionWalk()), opened()))


@pytest.mark.parametrize("when", ["reset", "step"])
def test_an_info_key_in_use(opened: Opened, when: str) -> None:
    class Taken(Walk):
        def reset(self, **options: Any) -> Any:
            observation, info = super().reset(**options)
            return observation, info | ({"curriculum": 1} if when == "reset" else {})

        def step(self, action: Any) -> Any:
            *rest, info = super().step(action)
            return *rest, info | {"curriculum": 1}

    curriculum = opened()
    with pytest.raises(TaskApplyError, match="already has the key 'curriculum'"):
        play(CurriculumEnv(Taken(), curriculum))
    assert not curriculum.failed


def test_wrapped_twice(opened: Opened) -> None:
    env = CurriculumEnv(CurriculumEnv(Walk(), opened()), opened())
    with pytest.raises(TaskApplyError, match="wrap an environment once only"):
        env.reset()


def test_a_mistake_that_comes_later_is_no_failure_either(opened: Opened) -> None:
    applied: list[Task] = []

    def apply(env: Any, task: Task) -> Any:
        applied.append(task)
        env.set_task(task.params)
        return 1 if len(applied) == 2 else None

    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum, apply_task=apply)
    play(env)
    with pytest.raises(TaskApplyError, match=r"None or a gymnasium\.Env, not int") as caught:
        env.reset()
    assert caught.value.task_id == applied[-1].task_id
    _, info = play(env)
    assert info["curriculum"]["failures"] == 0
    assert not curriculum.failed


def test_a_built_environment_with_other_spaces(opened: Opened) -> None:
    class Wider(Walk):
        action_space = gymnasium.spaces.Discrete(3)

    curriculum, built = opened(), Wider()
    env = CurriculumEnv(Walk(), curriculum, apply_task=lambda env, task: built)
    with pytest.raises(TaskApplyError, match=r"action_space Discrete\(3\) differs.*pad"):
        env.reset()
    assert built.is_closed
    wrong = CurriculumEnv(Walk(), curriculum, apply_task=lambda env, task: task)
    with pytest.raises(TaskApplyError, match=r"None or a gymnasium\.Env, not Task"):
        wrong.reset()
    assert not curriculum.failed


def test_a_built_environment_with_other_bounds(opened: Opened) -> None:
    class Farther(Walk):
        observation_space = gymnasium.spaces.Box(-1.0, 2.0, (3,), np.float32)

    def build(env: Any, task: Task) -> Farther:
        built = Farther()
        built.set_task(task.params)
        return built

    curriculum = opened()
    play(CurriculumEnv(Walk(), curriculum, apply_task=build))
    assert len(curriculum.reports) == 1


BOX: Any = gymnasium.spaces.Box
DISCRETE = gymnasium.spaces.Discrete


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (BOX(0, 1, (2,)), BOX(-5, 5, (2,)), True),
        (BOX(0, 1, (2,)), BOX(0, 1, (3,)), False),
        (BOX(0, 1, (2,), np.float32), BOX(0, 1, (2,), np.float64), False),
        (DISCRETE(3), DISCRETE(3), True),
        (DISCRETE(3), DISCRETE(4), False),
        (BOX(0, 1, (), np.int64), DISCRETE(2), False),
    ],
)
def test_which_spaces_are_alike(one: Any, other: Any, *, alike: bool) -> None:
    assert are_alike(one, other) == are_alike(other, one) == alike
    nested = gymnasium.spaces.Dict({"a": gymnasium.spaces.Tuple([one]), "b": DISCRETE(2)})
    same = gymnasium.spaces.Dict({"a": gymnasium.spaces.Tuple([other]), "b": DISCRETE(2)})
    assert are_alike(nested, same) == alike
    assert not are_alike(nested, nested["a"])
    assert not are_alike(nested, gymnasium.spaces.Dict({"a": nested["a"]}))
    assert not are_alike(nested["a"], gymnasium.spaces.Tuple([one, one]))


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("CartPole-v1", "'CartPole-v1' is no gymnasium.Env"),
        (SyncVectorEnv([Walk]), "is no gymnasium.Env but a vector environment.*TaskEnv"),
        (ParallelEnv(), "is no gymnasium.Env"),
    ],
)
@pytest.mark.parametrize("wrapper", [CurriculumEnv, lambda env, _: TaskEnv(env)])
def test_what_is_no_environment(opened: Opened, env: Any, said: str, wrapper: Any) -> None:
    with pytest.raises(TaskApplyError, match=said):
        wrapper(env, opened())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"apply_task": "set_task"}, r"apply_task must be a function of \(env, task\)"),
        ({"apply_task": lambda env: None}, "apply_task must be a function"),
        ({"score": 0.5}, r"score must be a function of \(info\)"),
        ({"score": lambda: 1.0}, "score must be a function"),
        ({"curriculum": None}, "curriculum must be an open Curriculum"),
        ({"curriculum": "redis://localhost"}, "curriculum must be an open Curriculum"),
        ({"curriculum": AsyncMock(AsyncCurriculum)}, "none for asyncio"),
    ],
)
def test_arguments_that_cannot_be_used(opened: Opened, arguments: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        CurriculumEnv(Walk(), **{"curriculum": opened()} | arguments)


def test_functions_of_any_kind_pass(opened: Opened) -> None:
    class Applier:
        def __call__(self, env: Any, task: Task, *, copied: bool = True) -> None:
            env.set_task(dict(task.params) if copied else task.params)

    for score in (lambda *infos: 0.5, len, operator.itemgetter("at")):
        CurriculumEnv(Walk(), opened(), apply_task=Applier(), score=score).reset()


def test_an_info_is_json(opened: Opened) -> None:
    curriculum = opened(task_generator=broken(["step", "", " "]))
    env = CurriculumEnv(Walk(), curriculum)
    for _ in range(20):
        _, info = env.reset()
        assert json.loads(json.dumps(info["curriculum"])) == info["curriculum"]
        _, info = play(env)
        assert json.loads(json.dumps(info["curriculum"])) == info["curriculum"]
    assert curriculum.failed


# --- servers and workers that go -----------------------------------------------------------------


def test_a_result_waits_for_the_server(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    play(env)
    curriculum.errors = [ServerUnavailableError("gone"), ServerUnavailableError("gone")]
    with pytest.raises(ServerUnavailableError):
        play(env)
    with pytest.raises(ServerUnavailableError):
        env.reset()
    play(env)
    assert len(curriculum.reports) == sum(completions(curriculum).values()) == 3


def test_a_pickled_copy_does_not_report_it_again(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    play(env)
    curriculum.errors = [ServerUnavailableError("gone")]
    with pytest.raises(ServerUnavailableError):
        play(env)
    other = pickle.loads(pickle.dumps(env))
    play(other)
    play(env)
    assert sum(completions(curriculum).values()) == 4
    other._assignments._curriculum.close()  # noqa: SLF001


class FailsOnce:
    """Applies no task at its first call."""

    calls = 0

    def __call__(self, env: Any, task: Task) -> None:
        self.calls += 1
        if self.calls == 1:
            raise OSError("no simulator")
        env.set_task(task.params)


def test_a_pickled_copy_does_not_report_a_failure_that_waits(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum, apply_task=FailsOnce())
    env.reset()
    other = pickle.loads(pickle.dumps(env))
    play(other)
    assert curriculum.stats()["num_failures"] == 0
    play(env)
    assert curriculum.stats()["num_failures"] == len(curriculum.failed) == 1
    other._assignments._curriculum.close()  # noqa: SLF001


def test_an_episode_longer_than_the_lease(opened: Opened, server: RunningServer, name: str) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    play(env)
    former = curriculum.worker_id
    with server.client() as client:
        assert client.zrem(Keys(name).workers, former)
        assert client.delete(Keys(name).worker(former))
    play(env)
    assert curriculum.worker_id != former
    assert sum(completions(curriculum).values()) == 2


def at_a_failure(env: CurriculumEnv, curriculum: Watched) -> None:
    """Play until an episode was finished and the next step will fail."""
    while not curriculum.reports:
        play(env)
    while env.reset()[1]["curriculum"]["label"] != "walk-step":
        play(env)
    env.step(0)


def test_a_failure_after_the_lease_counts(opened: Opened, server: RunningServer, name: str) -> None:
    curriculum = opened(task_generator=broken(["step", ""]))
    env = CurriculumEnv(Walk(), curriculum)
    at_a_failure(env, curriculum)
    failures = len(curriculum.failed)
    with server.client() as client:
        assert client.zrem(Keys(name).workers, curriculum.worker_id)
        assert client.delete(Keys(name).worker(curriculum.worker_id))
    *_, info = env.step(0)
    assert info["curriculum"]["outcome"] == "applied"
    assert curriculum.stats()["num_failures"] == failures + 1


def test_a_failure_waits_for_the_server(opened: Opened) -> None:
    curriculum = opened(task_generator=broken(["step", ""]))
    env = CurriculumEnv(Walk(), curriculum)
    at_a_failure(env, curriculum)
    failures = len(curriculum.failed)
    curriculum.refusals = [ServerUnavailableError("gone"), ServerUnavailableError("gone")]
    with pytest.raises(ServerUnavailableError):
        env.step(0)
    with pytest.raises(ServerUnavailableError):
        env.reset()
    assert len(curriculum.failed) == failures
    env.reset()
    assert len(curriculum.failed) == curriculum.stats()["num_failures"] == failures + 1


def test_what_is_not_known_is_not_repeated_by_another_worker(opened: Opened) -> None:
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum)
    play(env)
    curriculum.errors = [WorkerFencedError("reaped", applied="unknown")]
    with pytest.raises(WorkerFencedError):
        play(env)


# --- the defaults --------------------------------------------------------------------------------


class Student(gymnasium.Env[Any, Any]):
    """Its return grows with practice in some tasks; others are beyond it."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.practice: dict[str, int] = {}
        self.kind = ""

    def set_task(self, params: dict[str, Any]) -> None:
        self.kind = params["kind"]

    def reset(self, **_options: Any) -> Any:
        return 0, {}

    def step(self, action: Any) -> Any:  # noqa: ARG002
        self.practice[self.kind] = self.practice.get(self.kind, 0) + 1
        skill = min(1.0, self.practice[self.kind] / 400) if self.kind == "learnable" else 0.0
        return 1, skill, True, False, {}


def test_with_all_defaults_learning_progress_decides(url: str, name: str) -> None:
    kinds = Buckets(label="{kind}", buckets={"kind": ["learnable", "hopeless"]})
    with Watched.open(url, name, CurriculumConfig(task_generator=kinds)) as curriculum:
        student = Student()
        env = CurriculumEnv(student, curriculum)
        for _ in range(3000):
            env.reset()
            env.step(0)
        figures = curriculum.stats()
    progress = {
        label: figures[f"per_label_stats/{label}/learning_progress"]
        for label in ("learnable", "hopeless")
    }
    assert progress["hopeless"] == 0.0 < progress["learnable"]
    assert student.practice["learnable"] > 1.5 * student.practice["hopeless"] > 0


def test_the_number_of_steps_is_the_cost(opened: Opened) -> None:
    algorithm = DebiasedProgressConfig(cost_aware=True)
    config = CurriculumConfig(task_generator=WALKS, num_active_tasks=12, algorithm=algorithm)
    curriculum = opened(config)
    env = CurriculumEnv(Walk(), curriculum)
    for _ in range(20):
        play(env, 1)
    labels = [f"walk-{length}" for length in (1, 2, 3, 5)]
    plan = read.numbers(curriculum._store, "label", ["average_cost"], labels)  # noqa: SLF001
    table, _ = curriculum._run(plan)  # noqa: SLF001
    costs = table[:, 0].tolist()
    assert costs == [1, 2, 3, 5], "each walk is as long as its label says"


def test_results_of_groups_are_not_those_of_episodes(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CurriculumConfig, "asks_for", ("trials",))
    with pytest.raises(InvalidInputError, match="groups") as caught:
        CurriculumEnv(Walk(), opened())
    assert caught.value.field == "curriculum"


def test_a_finished_episode_ends_the_row_of_those_without_a_score(opened: Opened) -> None:
    """Ten in a row are an error; twenty that alternate with good ones are not."""
    curriculum = opened()
    scores = iter([0.5, *([math.nan] * 9 + [0.5]) * 3])
    env = CurriculumEnv(Walk(), curriculum, score=lambda _: next(scores))
    for _ in range(31):
        play(env)
    assert len(curriculum.reports) == 4


def test_after_the_error_the_row_without_a_score_begins_anew(opened: Opened) -> None:
    """Who catches it and goes on gets it again after ten more, not at once."""
    curriculum = opened()
    env = CurriculumEnv(Walk(), curriculum, score=lambda _: math.nan)
    raised = []
    for episode in range(1, 31):
        try:
            play(env)
        except FailingTasksError:
            raised.append(episode)
    assert raised == [10, 20, 30]
    assert not curriculum.reports
    assert not curriculum.failed


def test_a_step_that_fails_returns_a_copy_of_the_last_observation(opened: Opened) -> None:
    """A learner may write into what it was given before."""
    env = CurriculumEnv(Walk(), opened(task_generator=broken(["step"])))
    env.reset()
    first, *_ = env.step(0)
    kept = first.copy()
    second, _, _, truncated, _ = env.step(0)
    assert truncated
    first[:] = -1
    assert np.array_equal(second, kept)


def test_an_environment_may_go_through_its_options_and_use_the_task_up(opened: Opened) -> None:
    """What it takes out of the task is there again in the info, and at the next reset."""

    class Eager(OptionWalk):
        def _take_task(self, options: dict[str, Any] | None) -> None:
            given = {name: value for name, value in (options or {}).items()}  # noqa: C416
            self.task = dict(given["task"])
            given["task"].clear()

    env = CurriculumEnv(Eager(), opened())
    for _ in range(3):
        _, info = env.reset()
        assert info["curriculum"]["params"].keys() == {"length", "reward", "end"}
