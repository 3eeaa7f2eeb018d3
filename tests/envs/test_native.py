"""CurriculumNativeVectorEnv on environments that compute all slots at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from redis_curriculum import Curriculum, CurriculumConfig, Task
from redis_curriculum.envs import CurriculumNativeVectorEnv
from redis_curriculum.errors import (
    FailingTasksError,
    InvalidInputError,
    ServerUnavailableError,
    TaskApplyError,
)
from redis_curriculum.tasks import Buckets
from tests.envs.conftest import Opened

SLOTS = 4


class Walks(VectorEnv[Any, Any, Any]):
    """Slot i walks ``length[i]`` steps, each worth ``reward[i]``; params count from a reset on."""

    def __init__(self, mode: AutoresetMode) -> None:
        self.metadata = {"autoreset_mode": mode}
        self.num_envs = SLOTS
        self.single_observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(2)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (SLOTS, 1), np.float32)
        self.action_space = gymnasium.spaces.MultiDiscrete([2] * SLOTS)
        self.following: list[Any] = [None] * SLOTS
        self.playing: list[Any] = [None] * SLOTS
        self._at = np.zeros(SLOTS, dtype=int)
        self._over = np.zeros(SLOTS, dtype=bool)

    def _reset(self, mask: Any) -> None:
        self._at[mask] = 0
        for i in np.flatnonzero(mask):
            self.playing[i] = self.following[i]

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:  # noqa: ARG002
        mask = np.full(SLOTS, (options or {}).get("reset_mask", True))
        self._reset(mask)
        self._over[mask] = False
        return self._seen(), {}

    def step(self, actions: Any) -> Any:  # noqa: ARG002
        mode = self.metadata["autoreset_mode"]
        resetting = self._over & (mode is AutoresetMode.NEXT_STEP)
        self._reset(resetting)
        moving = ~self._over
        self._at[moving] += 1
        rewards = np.array([task.params["reward"] for task in self.playing]) * moving
        over = moving & (self._at >= [task.params["length"] for task in self.playing])
        self._over = over if mode is not AutoresetMode.DISABLED else over | self._over
        infos = {"played": np.array([task.task_id for task in self.playing])}
        if mode is AutoresetMode.SAME_STEP:
            self._reset(over)
            self._over = np.zeros(SLOTS, dtype=bool)
        time = np.zeros(SLOTS, dtype=bool)
        return self._seen(), rewards, over, time, infos

    def _seen(self) -> Any:
        return self._at[:, None].astype(np.float32)


def put(env: Any, indices: Any, tasks: Sequence[Task]) -> None:
    assert len(indices) == len(tasks)
    for i, task in zip(indices, tasks, strict=True):
        env.following[i] = task


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_each_episode_is_reported_once_for_the_task_it_played(
    opened: Opened, mode: AutoresetMode
) -> None:
    curriculum = opened()
    inner = Walks(mode)
    envs = CurriculumNativeVectorEnv(inner, curriculum, put)
    _, infos = envs.reset()
    begun = infos["curriculum"]["task_id"].tolist()
    assert begun == [task.task_id for task in inner.playing]
    told: list[tuple[int, float]] = []
    for _ in range(40):
        before = [task.task_id for task in inner.playing]
        _, _, over, _, infos = envs.step(envs.action_space.sample())
        ended_in = infos.get("final_info", {}) if mode is AutoresetMode.SAME_STEP else infos
        ended = ended_in.get("curriculum", {})
        for i in np.flatnonzero(over):
            assert ended["_score"][i]
            assert ended["task_id"][i] == infos["played"][i]
            if mode is not AutoresetMode.NEXT_STEP:
                assert ended["task_id"][i] == before[i]
            assert ended["length"][i] == ended["params"][i]["length"]
            assert ended["return"][i] == ended["length"][i] * ended["params"][i]["reward"]
            told.append((int(ended["task_id"][i]), float(ended["score"][i])))
        began = infos.get("curriculum", {}).get("_episodes", np.zeros(SLOTS, bool))
        for i in np.flatnonzero(began & ~over if mode is not AutoresetMode.SAME_STEP else began):
            assert infos["curriculum"]["task_id"][i] == inner.playing[i].task_id
        if mode is AutoresetMode.DISABLED and over.any():
            _, infos = envs.reset(options={"reset_mask": over})
            assert set(np.flatnonzero(infos["curriculum"]["_task_id"])) == set(np.flatnonzero(over))
    assert curriculum.reports == told
    assert len(told) > 30
    ended_in_steps = curriculum.counts[1:]
    assert sum(ended_in_steps) == len(told), "one draw for each episode that ended"
    assert curriculum.check() == []
    envs.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_reward_or_score_that_is_none_fails_its_task_and_no_other(
    opened: Opened, mode: AutoresetMode
) -> None:
    """The learner gets no such number; the failed episodes are truncated, with reward 0."""

    class Sick(Walks):
        def step(self, actions: Any) -> Any:
            playing, at = [task.task_id for task in self.playing], self._at.copy()
            seen, rewards, over, time, infos = super().step(actions)
            worth = {sick[0]: np.nan, sick[1]: np.inf, sick[2]: -np.inf}
            for i, task_id in enumerate(playing):
                rewards[i] += worth.get(task_id, 0.0) if at[i] == 0 and infos["played"][i] else 0.0
            return seen, rewards, over, time, infos

    curriculum = opened()
    sick = curriculum.task_ids()[:4]

    def score(infos: Any, i: int) -> float:
        return 7.0 if infos["played"][i] == sick[3] else 0.5

    envs = CurriculumNativeVectorEnv(Sick(mode), curriculum, put, score)
    envs.reset()
    failed, well = set[int](), 0
    for _ in range(60):
        _, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
        assert np.isfinite(rewards).all()
        over = terminated | truncated
        ended_in = infos.get("final_info", {}) if mode is AutoresetMode.SAME_STEP else infos
        for i in np.flatnonzero(over):
            task_id = int(ended_in["curriculum"]["task_id"][i])
            if task_id in sick:
                failed.add(task_id)
                assert (rewards[i], terminated[i], truncated[i]) == (0.0, False, True)
                assert not ended_in["curriculum"].get("_score", np.zeros(SLOTS, bool))[i]
            else:
                well += 1
                assert terminated[i]
        if mode is AutoresetMode.DISABLED and over.any():
            envs.reset(options={"reset_mask": over})
    assert failed == set(sick)
    assert {task_id for task_id, _ in curriculum.failed} == set(sick)
    assert len(curriculum.reports) == well > 20
    assert curriculum.check() == []


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_episodes_stay_right_where_the_server_was_gone_for_a_step(
    opened: Opened, mode: AutoresetMode
) -> None:
    """What had just begun was counted on from the episode before, or not at all."""
    curriculum = opened()
    inner = Walks(mode)
    envs = CurriculumNativeVectorEnv(inner, curriculum, put)
    envs.reset()
    gone, ended = 0, 0
    for turn in range(120):
        if turn % 5 == 0:
            curriculum.errors.append(ServerUnavailableError("gone"))
        try:
            _, _, over, _, _ = envs.step(envs.action_space.sample())
        except ServerUnavailableError:
            gone += 1
            over = inner._over  # noqa: SLF001
        ended += int(over.sum()) if mode is not AutoresetMode.SAME_STEP else 0
        if mode is AutoresetMode.DISABLED and over.any():
            envs.reset(options={"reset_mask": over.copy()})
    curriculum.errors.clear()
    assert gone > 10
    params = {t: r.params for t in curriculum.task_ids() if (r := curriculum.get_task_stats(t))}
    assert len(curriculum.reports) > 60
    assert [score for _, score in curriculum.reports] == [
        params[task_id]["length"] * params[task_id]["reward"] for task_id, _ in curriculum.reports
    ]
    if mode is not AutoresetMode.SAME_STEP:
        assert 0 <= ended - len(curriculum.reports) <= SLOTS, "the last ones wait to be reported"
    assert curriculum.check() == []


def test_a_reset_that_the_server_did_not_answer_abandons_once(opened: Opened) -> None:
    curriculum = opened()
    envs = CurriculumNativeVectorEnv(Walks(AutoresetMode.SAME_STEP), curriculum, put)
    envs.reset()
    drawn = len(curriculum.drawn)
    envs.step(envs.action_space.sample())
    playing = sum(envs._lengths > 0)  # noqa: SLF001
    drawn_by_step = len(curriculum.drawn) - drawn
    curriculum.errors += [ServerUnavailableError("gone")] * 3
    for _ in range(3):
        with pytest.raises(ServerUnavailableError):
            envs.reset()
    envs.reset()
    assert envs._assignments._abandoned == playing > 0  # noqa: SLF001
    assert len(curriculum.drawn) == drawn + drawn_by_step + playing
    envs.close()


def test_gymnasiums_own_cart_poles(url: str, name: str) -> None:
    """``make_vec``'s default is one object for all poles; each gets its own length."""
    poles = Buckets(label="pole-{length}", buckets={"length": [0.25, 0.5, 1.0]})
    config = CurriculumConfig(task_generator=poles, num_active_tasks=12, score_range=(0.0, 500.0))

    def apply_tasks(env: Any, indices: Any, tasks: Sequence[Task]) -> None:
        env.unwrapped.length[indices] = [task.params["length"] for task in tasks]

    inner = gymnasium.make_vec("CartPole-v1", num_envs=8)
    inner.unwrapped.length = np.full(8, 0.5)  # type: ignore[attr-defined]
    with Curriculum.open(url, name, config) as curriculum:
        envs = CurriculumNativeVectorEnv(inner, curriculum, apply_tasks)
        envs.action_space.seed(1)
        _, infos = envs.reset(seed=1)
        assert len(set(infos["curriculum"]["label"])) > 1
        totals, lengths = np.zeros(8), []
        for _ in range(200):
            _, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
            totals += rewards
            for i in np.flatnonzero(terminated | truncated):
                assert infos["curriculum"]["return"][i] == totals[i]
                lengths.append(totals[i])
                totals[i] = 0
        assert curriculum.stats()["num_completed"] == len(lengths) > 20
        envs.close()


class Pool:
    """As EnvPool's: no Gymnasium class, spaces of one slot, ``reset()`` without arguments."""

    def __init__(self) -> None:
        self._walks = Walks(AutoresetMode.NEXT_STEP)
        self.observation_space = self._walks.single_observation_space
        self.action_space = self._walks.single_action_space

    @property
    def following(self) -> Any:
        return self._walks.following

    def reset(self) -> Any:
        return self._walks.reset()

    def step(self, actions: Any) -> Any:
        return self._walks.step(actions)


def test_an_object_that_is_no_gymnasium_environment(opened: Opened) -> None:
    curriculum = opened()
    with pytest.raises(InvalidInputError, match="num_envs must be the number of slots"):
        CurriculumNativeVectorEnv(Pool(), curriculum, put)
    envs = CurriculumNativeVectorEnv(Pool(), curriculum, put, num_envs=SLOTS)
    assert envs.observation_space.shape == (SLOTS, 1)
    envs.reset()
    for _ in range(10):
        envs.step(envs.action_space.sample())
    assert len(curriculum.reports) > 5
    envs.close()


class EnvPool(Pool, gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """As EnvPool makes them for Gymnasium: an ``Env`` that is a vector of them."""

    num_envs = SLOTS


class Bare(Pool):
    """As one may write it in JAX: no spaces."""

    def __init__(self) -> None:
        super().__init__()
        del self.observation_space, self.action_space


@pytest.mark.parametrize("kind", [EnvPool, Bare])
def test_pools_of_other_libraries(opened: Opened, kind: type[Pool]) -> None:
    curriculum = opened()
    envs = CurriculumNativeVectorEnv(kind(), curriculum, put, num_envs=SLOTS)
    envs.reset()
    for _ in range(10):
        envs.step(np.zeros(SLOTS, dtype=np.int64))
    assert len(curriculum.reports) > 5
    envs.close()


def test_slots_and_modes_that_the_environment_has_not(opened: Opened) -> None:
    curriculum, walks = opened(), Walks(AutoresetMode.NEXT_STEP)
    with pytest.raises(InvalidInputError, match=rf"num_envs must be {SLOTS}, .*, got {SLOTS - 1}"):
        CurriculumNativeVectorEnv(walks, curriculum, put, num_envs=SLOTS - 1)
    wrong: Any = "next_step"
    with pytest.raises(InvalidInputError, match=r"autoreset_mode must be .*, got 'next_step'"):
        CurriculumNativeVectorEnv(Pool(), curriculum, put, num_envs=SLOTS, autoreset_mode=wrong)
    with pytest.raises(InvalidInputError, match=r"autoreset_mode must be .*, got .*SAME_STEP"):
        CurriculumNativeVectorEnv(walks, curriculum, put, autoreset_mode=AutoresetMode.SAME_STEP)


def test_own_scores_and_those_that_are_none(opened: Opened) -> None:
    curriculum = opened()
    mode = AutoresetMode.NEXT_STEP
    envs = CurriculumNativeVectorEnv(Walks(mode), curriculum, put, lambda infos, i: 0.25)
    envs.reset()
    for _ in range(10):
        envs.step(envs.action_space.sample())
    assert {score for _, score in curriculum.reports} == {0.25}
    envs = CurriculumNativeVectorEnv(Walks(mode), curriculum, put, lambda infos, i: None)
    envs.reset()
    steps = (envs.step(envs.action_space.sample()) for _ in range(100))
    with pytest.raises(FailingTasksError, match="every episode needs a finite number"):
        list(steps)
    assert curriculum.failed == []


def test_a_reset_in_mid_episode_abandons_it(opened: Opened) -> None:
    curriculum = opened()
    envs = CurriculumNativeVectorEnv(Walks(AutoresetMode.NEXT_STEP), curriculum, put)
    envs.reset()
    envs.reset()  # nothing was played
    assert len(curriculum.drawn) == SLOTS
    envs.step(envs.action_space.sample())
    envs.reset()
    assert len(curriculum.drawn) == 2 * SLOTS


def test_what_cannot_be_used(opened: Opened) -> None:
    curriculum = opened()
    walks = Walks(AutoresetMode.NEXT_STEP)
    with pytest.raises(InvalidInputError, match="CurriculumVectorEnv take the others"):
        CurriculumNativeVectorEnv(gymnasium.make("CartPole-v1"), curriculum, put)
    for wrong in (None, put.__name__, lambda env: None):
        with pytest.raises(InvalidInputError, match="apply_tasks must be"):
            CurriculumNativeVectorEnv(walks, curriculum, wrong)  # type: ignore[arg-type]
    calls: list[Any] = []

    def breaks(env: Any, indices: Any, tasks: Any) -> None:
        calls.append([task.task_id for task in tasks])
        if len(calls) == 1:
            raise ValueError("no such pole")
        put(env, indices, tasks)

    envs = CurriculumNativeVectorEnv(walks, curriculum, breaks)
    with pytest.raises(TaskApplyError, match=r"apply_tasks raised ValueError: no such pole.*slots"):
        envs.reset()
    envs.reset()
    assert calls[0] == calls[1], "the same tasks again"
