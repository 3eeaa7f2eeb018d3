"""CurriculumVectorEnv: every autoreset mode, in this process and in others."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers import TimeLimit, TransformReward
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from redis_curriculum.envs import CurriculumEnv, CurriculumVectorEnv, TaskEnv
from redis_curriculum.envs.assignments import ATTEMPTS
from redis_curriculum.errors import FailingTasksError, ServerUnavailableError, TaskApplyError
from redis_curriculum.tasks import Buckets, Task
from tests.envs.conftest import Opened
from tests.envs.worlds import (
    Walk,
    Watched,
    broken,
    completions,
    config_of,
    samples,
    with_outages,
)
from tests.lossy import lossy
from tests.servers import RunningServer

NEXT_STEP, SAME_STEP, DISABLED = AutoresetMode
KINDS: list[Any] = [SyncVectorEnv, AsyncVectorEnv]
AT_BEGIN = {"task_id", "label", "params", "episodes", "failures"}


def make() -> TaskEnv:
    return TaskEnv(Walk())


@contextmanager
def vector_of(
    curriculum: Watched,
    kind: Any = SyncVectorEnv,
    n: int = 3,
    mode: Any = NEXT_STEP,
    **options: Any,
) -> Iterator[CurriculumVectorEnv]:
    envs = CurriculumVectorEnv(kind([make] * n, autoreset_mode=mode, **options), curriculum)
    yield envs
    envs.close()
    assert not multiprocessing.active_children()


def step_many(envs: CurriculumVectorEnv) -> None:
    for _ in range(10):
        envs.step(np.zeros(envs.num_envs, dtype=int))


def entries(infos: dict[str, Any], i: int) -> dict[str, Any]:
    """One sub-environment's entries under our key."""
    return of_one(infos.get("curriculum", {}), i)


def of_one(infos: dict[str, Any], i: int) -> dict[str, Any]:
    return {
        key: of_one(column, i) if isinstance(column, dict) else column[i]
        for key, column in infos.items()
        if not key.startswith("_") and infos[f"_{key}"][i]
    }


class Player:
    """Plays a vector environment and checks each step against the task that was told."""

    def __init__(self, envs: CurriculumVectorEnv) -> None:
        self.envs = envs
        self.mode = envs.metadata["autoreset_mode"]
        self.params: list[Any] = [None] * envs.num_envs
        self.ids: list[int] = [-1] * envs.num_envs
        self.totals = [0.0] * envs.num_envs
        self.ended: list[list[dict[str, Any]]] = [[] for _ in self.totals]
        self.over = np.zeros(envs.num_envs, dtype=bool)
        self.rng = np.random.default_rng(0)

    def reset(self, **options: Any) -> None:
        seen, infos = self.envs.reset(**options)
        for i in range(self.envs.num_envs):
            if entries(infos, i):
                self.begin(i, infos, seen)

    def begin(self, i: int, infos: dict[str, Any], seen: Any) -> None:
        told = entries(infos, i)
        assert set(told) == AT_BEGIN
        self.params[i], self.totals[i], self.over[i] = told["params"], 0.0, False
        self.ids[i] = told["task_id"]
        assert seen[i][0] == 0
        assert infos["length"][i] == told["params"]["length"] == round(seen[i][1] * 16)

    def step(self) -> list[bool]:
        """Take a step; which sub-environments began an episode in it."""
        fresh = [False] * self.envs.num_envs
        if self.mode is DISABLED and self.over.any():
            self.reset(options={"reset_mask": self.over.copy()})
        actions = self.rng.integers(2, size=self.envs.num_envs)
        seen, rewards, terminated, truncated, infos = self.envs.step(actions)
        for i in range(self.envs.num_envs):
            if self.over[i]:
                self.begin(i, infos, seen)
                fresh[i] = True
                continue
            expected = self.params[i]["reward"] * (1 + actions[i])
            if terminated[i] or truncated[i]:
                total = self.totals[i] + rewards[i]
                told = self.end(i, infos, seen)
                fresh[i] = self.mode is SAME_STEP
                if "error" in told:
                    assert (rewards[i], terminated[i], truncated[i]) == (0.0, False, True)
                else:
                    assert rewards[i] == expected
                    assert told["return"] == total
            else:
                assert rewards[i] == expected
                self.totals[i] += rewards[i]
                assert round(seen[i][1] * 16) == self.params[i]["length"]
                assert not entries(infos, i)
        return fresh

    def end(self, i: int, infos: dict[str, Any], seen: Any) -> dict[str, Any]:
        within = self.mode is SAME_STEP
        told = entries(infos["final_info"] if within else infos, i)
        assert told["params"] == self.params[i]
        assert told["task_id"] == self.ids[i]
        assert set(told) - AT_BEGIN in (
            {"outcome", "return", "length", "score"},
            {"outcome", "return", "length", "error"},
        )
        self.ended[i].append(told)
        self.over[i] = not within
        if within:
            self.begin(i, infos, seen)
        return told

    def finished(self) -> list[tuple[int, float]]:
        return [
            (told["task_id"], told["score"])
            for own in self.ended
            for told in own
            if "score" in told
        ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_episode_counts_once(
    opened: Opened, server: RunningServer, kind: Any, mode: Any
) -> None:
    curriculum = opened()
    with vector_of(curriculum, kind, 4, mode) as envs:
        player = Player(envs)
        player.reset(seed=1)
        while not curriculum.reports:  # the server learns the script by it
            player.step()
        with_an_end = 0
        before = sent(server)
        for _ in range(60):
            ended = len(curriculum.reports)
            player.step()
            with_an_end += len(curriculum.reports) > ended
        assert sent(server) - before == with_an_end
    assert sorted(curriculum.reports) == sorted(player.finished())
    for own in player.ended:
        assert [told["episodes"] for told in own] == list(range(1, len(own) + 1))
    counted = completions(curriculum)
    assert sum(counted.values()) == len(curriculum.reports) > 40
    assert samples(curriculum) == sum(curriculum.counts)
    ahead = 4 if mode is SAME_STEP else 0
    assert samples(curriculum) == len(curriculum.reports) + 4 + ahead


def sent(server: RunningServer) -> int:
    """Scripts run so far."""
    with server.client() as client:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


@pytest.mark.parametrize("mode", AutoresetMode)
def test_tasks_are_played_in_the_order_in_which_they_are_drawn(opened: Opened, mode: Any) -> None:
    curriculum = opened()
    with vector_of(curriculum, SyncVectorEnv, 1, mode) as envs:
        player = Player(envs)
        player.reset()
        for _ in range(40):
            player.step()
    played = [told["task_id"] for told in player.ended[0]]
    assert len(set(played)) > 5
    assert played == curriculum.drawn[: len(played)]


def half(info: dict[str, Any]) -> float:
    return 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_single_environments(url: str, name: str, kind: Any) -> None:
    """Equal scores leave LP at 0: then no draw depends on what was reported just before."""
    config = config_of()
    with Watched.open(url, f"{name}-v", config) as curriculum:
        envs = kind([lambda: TaskEnv(Walk(), score=half)] * 3)
        player = Player(CurriculumVectorEnv(envs, curriculum))
        player.reset()
        for _ in range(50):
            player.step()
        envs.close()
        counts = completions(curriculum)
    with Watched.open(url, f"{name}-s", config) as curriculum:
        alone = in_lockstep([CurriculumEnv(Walk(), curriculum, score=half) for _ in range(3)], 50)
        assert completions(curriculum) == counts
    assert player.ended == alone


def in_lockstep(envs: list[CurriculumEnv], steps: int) -> list[list[dict[str, Any]]]:
    """What a vector environment of mode NEXT_STEP does, with the actions of a ``Player``."""
    ended: list[list[dict[str, Any]]] = [[] for _ in envs]
    over, rng = [False] * len(envs), np.random.default_rng(0)
    for env in envs:
        env.reset()
    for _ in range(steps):
        actions = rng.integers(2, size=len(envs))
        for i, env in enumerate(envs):
            if over[i]:
                env.reset()
                over[i] = False
                continue
            _, _, terminated, truncated, info = env.step(actions[i])
            over[i] = terminated or truncated
            if over[i]:
                ended[i].append(info["curriculum"])
    return ended


def test_single_environments_in_a_vector_environment(opened: Opened) -> None:
    curriculum = opened()
    envs = SyncVectorEnv([lambda: CurriculumEnv(Walk(), curriculum)] * 3)
    envs.reset()
    ended = 0
    for _ in range(30):
        *_, terminated, truncated, infos = envs.step(np.zeros(3, dtype=int))
        for i in np.flatnonzero(terminated | truncated):
            told = entries(infos, int(i))
            assert told["return"] == told["params"]["length"] * told["params"]["reward"]
            ended += 1
    assert sum(completions(curriculum).values()) == ended
    envs.close()


@pytest.mark.parametrize("mode", AutoresetMode)
def test_params_of_several_types_stay_what_they_are(opened: Opened, mode: Any) -> None:
    """They must not be forced into one array."""
    lengths: Any = [1, 2.0, "3", None, [4], {"five": 5}]
    mixed = Buckets(label="any", buckets={"length": lengths})

    def apply(env: Any, task: Task) -> None:
        env.set_task({"length": 2, "reward": 0, "end": "goal"})

    curriculum = opened(size=48, task_generator=mixed)
    inner = SyncVectorEnv([lambda: TaskEnv(Walk(), apply_task=apply)] * 3, autoreset_mode=mode)
    envs = CurriculumVectorEnv(inner, curriculum)
    _, infos = envs.reset()
    seen = []
    for _ in range(40):
        seen += [entries(infos, i) for i in range(3)]
        *_, over, _, infos = envs.step(np.zeros(3, dtype=int))
        if mode is DISABLED and over.any():
            _, infos = envs.reset(options={"reset_mask": over})
    told = [one["params"]["length"] for one in seen if one]
    assert {json.dumps(one) for one in told} == {json.dumps(one) for one in lengths}
    envs.close()


# --- resets by the caller ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("seed", [None, 4, [4, None, 6]])
def test_resets_in_mid_episode(opened: Opened, mode: Any, seed: Any) -> None:
    curriculum = opened(size=64, task_generator=broken(["", " "]))
    with vector_of(curriculum, SyncVectorEnv, 3, mode) as envs:
        player = Player(envs)
        player.reset(seed=seed)
        told, drawn = list(player.ids), sum(curriculum.counts)
        player.reset(seed=seed)
        assert told == player.ids, "no step was taken"
        assert sum(curriculum.counts) == drawn
        player.step()
        player.reset(seed=seed)
        assert not set(told) & set(player.ids), "whatever the seed"
        assert sum(curriculum.counts) == drawn + 3
        told = list(player.ids)
        player.step()
        options = {"reset_mask": np.array([False, True, False])}
        player.reset(options=options, seed=seed)
        assert [a == b for a, b in zip(told, player.ids, strict=True)] == [True, False, True]
        assert sum(curriculum.counts) == drawn + 4
        told = list(player.ids)
        player.reset(options=options, seed=seed)
        assert told == player.ids, "it has not been stepped since"
        assert sum(curriculum.counts) == drawn + 4
        assert set(options) == {"reset_mask"}, "it is the caller's"
        for _ in range(20):
            player.step()
    assert sorted(curriculum.reports) == sorted(player.finished())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_reset_just_after_an_autoreset_begins_the_same_tasks(
    opened: Opened, kind: Any, mode: Any
) -> None:
    """No step has been taken in what began by itself; of the others one has."""
    curriculum = opened(size=64, task_generator=broken(["", " "]))
    with vector_of(curriculum, kind, 3, mode) as envs:
        player = Player(envs)
        player.reset()
        begun_by_itself = 0
        for _ in range(30):
            before, drawn = list(player.ids), sum(curriculum.counts)
            fresh = player.step()
            told = list(player.ids)
            begun_by_itself += sum(fresh)
            if not any(fresh):
                continue
            assert all(a != b for a, b, new in zip(before, told, fresh, strict=True) if new)
            reported = sum(curriculum.counts) - drawn
            over = sum(player.over)
            player.reset()
            kept = [a == b for a, b in zip(told, player.ids, strict=True)]
            assert kept == fresh
            abandoned = 3 - sum(fresh) - over
            assert sum(curriculum.counts) == drawn + reported + abandoned
        assert begun_by_itself > 5 or mode is DISABLED
    assert sorted(curriculum.reports) == sorted(player.finished())


@pytest.mark.parametrize("seed", [None, 7])
def test_many_abandoned_episodes_are_noticed(
    opened: Opened, caplog: pytest.LogCaptureFixture, seed: int | None
) -> None:
    curriculum = opened(size=64, task_generator=broken(["", " "]))
    with vector_of(curriculum) as envs:
        for _ in range(30):
            envs.reset(seed=seed)
            envs.step(np.zeros(3, dtype=int))
    (record,) = caplog.records
    assert "30 episodes were reset before their end" in record.getMessage()


# --- wrappers in the wrong order -----------------------------------------------------------------


class Endless(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Tells of no end."""

    def step(self, action: Any) -> Any:
        seen, reward, _, _, info = self.env.step(action)
        return seen, reward, False, False, info


class Secretive(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Has infos of its own."""

    def step(self, action: Any) -> Any:
        *stepped, _ = self.env.step(action)
        return *stepped, {"own": 1}


class Mute(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Tells nothing at a reset."""

    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)[0], {}


def limited(env: TaskEnv) -> Any:
    return TimeLimit(env, 2)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("kind", "outside"),
    [(AsyncVectorEnv, limited), *((SyncVectorEnv, o) for o in (limited, Endless, Secretive, Mute))],
)
def test_what_ends_episodes_outside_of_a_task_env_is_refused(
    opened: Opened, kind: Any, mode: Any, outside: Any
) -> None:
    """At the first such episode; what ended well in the same step is reported before."""
    walks = Buckets(label="w", buckets={"length": [3, 2], "reward": [1 / 64], "end": ["goal"]})
    curriculum = opened(size=64, task_generator=walks)
    makers = [lambda: outside(make()), make, make]
    envs = CurriculumVectorEnv(kind(makers, autoreset_mode=mode), curriculum)
    actions = np.zeros(3, dtype=int)
    with pytest.raises(TaskApplyError, match=r"sub-environment 0 .*TaskEnv\(TimeLimit\(env"):
        refused(envs, actions, mode)
    well = len(curriculum.reports)
    assert not curriculum.failed
    assert envs._assignments._abandoned == (outside is not Mute)  # noqa: SLF001
    with pytest.raises(TaskApplyError, match="sub-environment 0"):
        refused(envs, actions, mode)
    assert sum(completions(curriculum).values()) == len(curriculum.reports) >= well
    envs.close()


@pytest.mark.parametrize("mode", AutoresetMode)
def test_what_ended_well_in_that_very_step_is_reported(opened: Opened, mode: Any) -> None:
    walks = Buckets(label="w", buckets={"length": [2], "reward": [1 / 64], "end": ["goal"]})
    curriculum = opened(task_generator=walks)
    makers = [lambda: Secretive(make()), make, make]
    envs = CurriculumVectorEnv(SyncVectorEnv(makers, autoreset_mode=mode), curriculum)
    envs.reset()
    envs.step(np.zeros(3, dtype=int))
    with pytest.raises(TaskApplyError, match="sub-environment 0"):
        envs.step(np.zeros(3, dtype=int))
    assert len(curriculum.reports) == 2
    envs.close()


def refused(envs: CurriculumVectorEnv, actions: Any, mode: Any, steps: int = 20) -> None:
    """Play until something is refused."""
    envs.reset()
    for _ in range(steps):
        *_, terminated, truncated, _ = envs.step(actions)
        over = terminated | truncated
        if mode is DISABLED and over.any():
            envs.reset(options={"reset_mask": over})


@pytest.mark.parametrize("mode", AutoresetMode)
def test_wrappers_outside_of_a_task_env_that_end_nothing(opened: Opened, mode: Any) -> None:
    curriculum = opened()
    makers = [lambda: TimeLimit(TransformReward(make(), lambda reward: float(reward) + 1), 50)] * 3
    envs = CurriculumVectorEnv(SyncVectorEnv(makers, autoreset_mode=mode), curriculum)
    refused(envs, np.zeros(3, dtype=int), mode)
    assert len(curriculum.reports) > 10
    assert all(score < 1 for _, score in curriculum.reports), "rewards as the TaskEnv has them"
    envs.close()


# --- failing tasks -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("place", ["apply", "reset", "step"])
def test_failing_tasks_are_replaced(opened: Opened, kind: Any, mode: Any, place: str) -> None:
    curriculum = opened(size=16, task_generator=broken([place, "", " ", "  "]))
    with vector_of(curriculum, kind, 3, mode) as envs:
        player = Player(envs)
        player.reset(seed=2)
        for _ in range(40):
            player.step()
    assert curriculum.failed
    assert sorted(curriculum.reports) == sorted(player.finished())
    assert sum(completions(curriculum).values()) == len(curriculum.reports) > 10
    if place == "step":
        errors = [told for own in player.ended for told in own if "error" in told]
        assert sorted((told["task_id"], told["error"]) for told in errors) == sorted(
            curriculum.failed
        )


def test_the_seed_of_a_reset_holds_for_the_tasks_that_are_tried_instead(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset", "reset ", "", " "]))
    walks: list[Walk] = []

    def keep() -> TaskEnv:
        walks.append(Walk())
        return TaskEnv(walks[-1])

    envs = CurriculumVectorEnv(SyncVectorEnv([keep] * 4), curriculum)
    envs.reset(seed=[3, 4, 5, 6])
    seeds = [[seed for _, seed, _ in walk.resets] for walk in walks]
    assert any(len(own) > 1 for own in seeds), "one was tried again"
    assert [set(own) for own in seeds] == [{3}, {4}, {5}, {6}]
    envs.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_when_all_fail_one_error_has_every_cause(opened: Opened, kind: Any, mode: Any) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset"]))
    with vector_of(curriculum, kind, 2, mode) as envs:
        for _ in range(2):
            with pytest.raises(FailingTasksError, match="100 tasks in a row") as caught:
                envs.reset()
            assert len(caught.value.causes) == ATTEMPTS
    assert not curriculum.failed
    assert not curriculum.stats()["num_failures"]


def test_async_without_shared_memory(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset", "", " ", "  "]))
    with vector_of(curriculum, AsyncVectorEnv, 2, NEXT_STEP, shared_memory=False) as envs:
        player = Player(envs)
        player.reset()
        for _ in range(30):
            player.step()
    assert sorted(curriculum.reports) == sorted(player.finished())


def but_for_two(value: Any) -> Any:
    """A score function that is bad at walks of two steps."""

    def score(info: dict[str, Any]) -> Any:
        return value if info["length"] == 2 else 0.5

    return score


class Lengths(Walk):
    """Has the length of the walk in each info; the reward of the last step of some is bad."""

    def __init__(self, reward: Any) -> None:
        super().__init__()
        self.reward = reward

    def step(self, action: Any) -> Any:
        seen, reward, terminated, truncated, info = super().step(action)
        if self._at == self.task["length"] == 2:
            reward = self.reward
        return seen, reward, terminated, truncated, info | {"length": self.task["length"]}


BAD = [
    lambda: TaskEnv(Lengths(0.0), score=but_for_two(None)),
    lambda: TaskEnv(Lengths(0.0), score=but_for_two(1.5)),
    lambda: TaskEnv(Lengths(math.nan)),
    lambda: TaskEnv(Lengths(None)),
    lambda: TaskEnv(Lengths(7.0)),
]
"""Walks of two steps have no score, one outside the range, no reward, or too much of it."""


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("kind", "maker"),
    [*((SyncVectorEnv, bad) for bad in BAD), *((AsyncVectorEnv, b) for b in BAD[:3])],
)
def test_one_bad_score_is_the_failure_of_its_task(
    opened: Opened, kind: Any, mode: Any, maker: Any
) -> None:
    """The others of that step go on, and their results count."""
    curriculum = opened()
    envs = CurriculumVectorEnv(kind([maker] * 4, autoreset_mode=mode), curriculum)
    player = Player(envs)
    player.reset(seed=3)
    for _ in range(60):
        player.step()
    told = [one for own in player.ended for one in own]
    bad = [one for one in told if "error" in one]
    assert len(bad) > 5
    assert all((one["label"] == "walk-2") == ("error" in one) for one in told)
    assert sorted(curriculum.failed) == sorted((one["task_id"], one["error"]) for one in bad)
    assert sorted(curriculum.reports) == sorted(player.finished())
    assert sum(completions(curriculum).values()) == len(curriculum.reports) == len(told) - len(bad)
    envs.close()


def test_arrays_of_a_step_stay_as_wrappers_inside_gave_them(opened: Opened) -> None:
    class Keeping(VectorWrapper):
        def step(self, actions: Any) -> Any:
            stepped = self.env.step(actions)
            kept.append((stepped[1:4], [array.copy() for array in stepped[1:4]]))
            return stepped

    kept: list[Any] = []
    inside = Keeping(SyncVectorEnv([lambda: TaskEnv(Lengths(7.0))] * 3))
    player = Player(CurriculumVectorEnv(inside, opened()))
    player.reset()
    for _ in range(40):
        player.step()
    assert any("error" in told for own in player.ended for told in own)
    for given, as_they_were in kept:
        np.testing.assert_array_equal(given, as_they_were)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_where_no_episode_has_a_score_it_is_an_error(opened: Opened, kind: Any, mode: Any) -> None:
    curriculum = opened(score_range=(10.0, 20.0))
    for _ in range(8):
        envs = CurriculumVectorEnv(kind([make] * 3, autoreset_mode=mode), curriculum)
        with pytest.raises(TaskApplyError, match=r"score_range \[10, 20\]"):
            refused(envs, np.zeros(3, dtype=int), mode, steps=200)
        envs.close()
    assert not curriculum.failed
    assert not curriculum.quarantine()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_wrong_setup_is_an_error_that_loses_no_result(
    opened: Opened, kind: Any, mode: Any
) -> None:
    """The first sub-environment scores; the info of the second is in use, in the same step."""

    class Taken(Walk):
        def step(self, action: Any) -> Any:
            *stepped, info = super().step(action)
            return *stepped, info | ({"curriculum": 1} if self._at == 2 else {})

    walks: Any = {"length": [2], "reward": [1 / 64], "end": ["goal"], "n": [1, 2]}
    curriculum = opened(task_generator=Buckets(label="w", buckets=walks))
    makers = [make, lambda: TaskEnv(Taken())]
    envs = CurriculumVectorEnv(kind(makers, autoreset_mode=mode), curriculum)
    envs.reset()
    envs.step(np.zeros(2, dtype=int))
    with pytest.raises(TaskApplyError, match="already has the key"):
        envs.step(np.zeros(2, dtype=int))
    assert not curriculum.failed
    assert [score for _, score in curriculum.reports] == [1 / 32]
    envs.close()


# --- what does not fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner", [lambda curriculum: Walk(), lambda c: CurriculumEnv(Walk(), c)])
def test_sub_environments_must_take_tasks(opened: Opened, kind: Any, inner: Any) -> None:
    curriculum = opened()
    envs = kind([lambda: inner(curriculum)] * 2)
    with pytest.raises(TaskApplyError, match="wrap each in TaskEnv"):
        CurriculumVectorEnv(envs, curriculum)
    envs.close()


def test_vector_environments_without_sub_environments(opened: Opened) -> None:
    with pytest.raises(TaskApplyError, match="wrap each in TaskEnv"):
        CurriculumVectorEnv(gymnasium.make_vec("CartPole-v1", 2), opened())


@pytest.mark.parametrize("kind", KINDS)
def test_different_spaces(opened: Opened, kind: Any) -> None:
    class Numbered(Walk):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.observation_space: Any = gymnasium.spaces.Discrete(n)

    makers = [lambda: TaskEnv(Numbered(3)), lambda: TaskEnv(Numbered(4))]
    envs = kind(makers, observation_mode="different")
    with pytest.raises(TaskApplyError, match=r"sub-environment 1 has the .* Discrete\(4\).*pad"):
        CurriculumVectorEnv(envs, opened())
    envs.close()


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_of_other_bounds(opened: Opened, kind: Any) -> None:
    class Higher(Walk):
        observation_space = gymnasium.spaces.Box(0.0, 2.0, (3,), np.float32)

    envs = kind([make, lambda: TaskEnv(Higher())], observation_mode="different")
    CurriculumVectorEnv(envs, opened()).reset()
    envs.close()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (Walk(), "is no VectorEnv of Gymnasium: wrap it in CurriculumEnv"),
        ([make], "is no VectorEnv of Gymnasium$"),
    ],
)
def test_what_is_no_vector_environment(opened: Opened, env: Any, said: str) -> None:
    with pytest.raises(TaskApplyError, match=said):
        CurriculumVectorEnv(env, opened())


# --- with others ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_result_waits_for_the_server(opened: Opened, mode: Any) -> None:
    curriculum = opened()
    with vector_of(curriculum, SyncVectorEnv, 3, mode) as envs:
        envs.reset()
        curriculum.errors = [ServerUnavailableError("gone")]
        player = Player(envs)
        with pytest.raises(ServerUnavailableError):
            step_many(envs)
        player.reset()
        lost = list(curriculum.reports)
        for _ in range(20):
            player.step()
    assert lost
    assert sorted(curriculum.reports) == sorted(player.finished() + lost)
    assert sum(completions(curriculum).values()) == len(curriculum.reports)


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_steps_go_on_after_the_server_was_gone(opened: Opened, mode: Any) -> None:
    curriculum = opened()
    with vector_of(curriculum, SyncVectorEnv, 3, mode) as envs:
        envs.reset()
        curriculum.errors = [ServerUnavailableError("gone")]
        with pytest.raises(ServerUnavailableError):
            step_many(envs)
        assert not curriculum.reports
        step_many(envs)
    assert len(curriculum.reports) == sum(completions(curriculum).values()) > 5
    ahead = 3 if mode is SAME_STEP else 0
    assert len(curriculum.drawn) == len(curriculum.reports) + 3 + ahead


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_a_reset_that_failed_while_the_server_was_gone_is_made_up_for(
    opened: Opened, mode: Any
) -> None:
    """The sub-environment was stepped without a task, and its end put down to a wrapper."""
    curriculum = opened(size=16, task_generator=broken(["reset", "", " "]))
    with vector_of(curriculum, SyncVectorEnv, 3, mode) as envs:
        envs.reset()
        gone = with_outages(curriculum, lambda: envs.step(np.zeros(3, dtype=int)), 150)
    assert gone > 20
    assert curriculum.failed
    records = {i: r for i in curriculum.task_ids() if (r := curriculum.get_task_stats(i))}
    returns = {i: r.params["length"] * r.params["reward"] for i, r in records.items()}
    assert len(curriculum.reports) > 100
    assert all(score == returns[i] for i, score in curriculum.reports if i in returns)
    assert curriculum.check() == []


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_lost_reply_counts_once_whatever_is_called_next(
    url: str, name: str, opened: Opened, mode: Any
) -> None:
    watching = opened()
    curriculum, link = lossy(url, name)
    envs = CurriculumVectorEnv(SyncVectorEnv([make] * 3, autoreset_mode=mode), curriculum)
    with curriculum:
        envs.reset()
        link.lose = "step"
        with pytest.raises(ServerUnavailableError):
            step_many(envs)
        ended = sum(completions(watching).values())
        envs.reset()  # abandons the others' episodes
        assert sum(completions(watching).values()) == ended > 0
        envs.step(np.zeros(3, dtype=int))
    envs.close()


@pytest.mark.skipif(
    [int(n) for n in version("gymnasium").split(".")[:3]] < [1, 2, 2],
    reason="DictInfoToList fails on RecordEpisodeStatistics before Gymnasium 1.2.2",
)
def test_gymnasiums_wrappers_around_it(opened: Opened) -> None:
    with vector_of(opened()) as inner:
        envs = DictInfoToList(RecordEpisodeStatistics(inner))
        envs.reset()
        ended = 0
        for _ in range(20):
            *_, terminated, truncated, infos = envs.step(np.zeros(3, dtype=int))
            for i in np.flatnonzero(terminated | truncated):
                told = infos[i]["curriculum"]
                assert told["return"] == infos[i]["episode"]["r"]
                assert told["length"] == infos[i]["episode"]["l"]
                ended += 1
        assert ended > 5


def test_gymnasiums_wrappers_inside(opened: Opened) -> None:
    inside = RecordEpisodeStatistics(SyncVectorEnv([make] * 3))
    player = Player(CurriculumVectorEnv(inside, opened()))
    player.reset()
    for _ in range(20):
        player.step()
    assert len(inside.return_queue) == len(player.finished())


def test_make_vec_wraps_the_sub_environments(opened: Opened) -> None:
    gymnasium.register("VectorWalk-v0", entry_point="tests.envs.worlds:Walk")
    inside = gymnasium.make_vec("VectorWalk-v0", 3, "sync", wrappers=[TaskEnv])
    player = Player(CurriculumVectorEnv(inside, opened()))
    player.reset()
    for _ in range(20):
        player.step()
    assert player.finished()
