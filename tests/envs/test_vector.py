"""CurriculumVectorEnv: every autoreset mode, in this process and in others."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from redis_curriculum.envs import CurriculumEnv, CurriculumVectorEnv, TaskEnv
from redis_curriculum.envs.assignments import ATTEMPTS
from redis_curriculum.errors import FailingTasksError, ServerUnavailableError, TaskApplyError
from redis_curriculum.tasks import Buckets
from tests.envs.conftest import Opened
from tests.envs.worlds import Walk, Watched, broken, completions, config_of, samples
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
    told = infos.get("curriculum", {})
    return {key: told[key][i] for key in told if not key.startswith("_") and told[f"_{key}"][i]}


class Player:
    """Plays a vector environment and checks each step against the task that was told."""

    def __init__(self, envs: CurriculumVectorEnv) -> None:
        self.envs = envs
        self.mode = envs.metadata["autoreset_mode"]
        self.params: list[Any] = [None] * envs.num_envs
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
        assert seen[i][0] == 0
        assert infos["length"][i] == told["params"]["length"] == round(seen[i][1] * 16)

    def step(self) -> None:
        if self.mode is DISABLED and self.over.any():
            self.reset(options={"reset_mask": self.over.copy()})
        actions = self.rng.integers(2, size=self.envs.num_envs)
        seen, rewards, terminated, truncated, infos = self.envs.step(actions)
        for i in range(self.envs.num_envs):
            if self.over[i]:
                self.begin(i, infos, seen)
                continue
            broke = self.params[i].get("broken") == "step"
            expected = self.params[i]["reward"] * (1 + actions[i])
            assert rewards[i] == expected or (broke and rewards[i] == 0)
            self.totals[i] += rewards[i]
            if terminated[i] or truncated[i]:
                self.end(i, infos, seen)
            else:
                assert round(seen[i][1] * 16) == self.params[i]["length"]
                assert not entries(infos, i)

    def end(self, i: int, infos: dict[str, Any], seen: Any) -> None:
        within = self.mode is SAME_STEP
        told = entries(infos["final_info"] if within else infos, i)
        assert told["params"] == self.params[i]
        assert told["return"] == self.totals[i]
        assert set(told) - AT_BEGIN in (
            {"outcome", "return", "length", "score"},
            {"outcome", "return", "length", "error"},
        )
        self.ended[i].append(told)
        self.over[i] = not within
        if within:
            self.begin(i, infos, seen)

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
    """Params of different types must not be forced into one array."""
    mixed = Buckets(label="any", buckets={"length": [1, 2], "reward": [0, 1 / 64], "end": ["goal"]})
    curriculum = opened(task_generator=mixed)
    envs = SyncVectorEnv([lambda: CurriculumEnv(Walk(), curriculum)] * 3)
    envs.reset()
    ended = 0
    for _ in range(30):
        *_, terminated, _, infos = envs.step(np.zeros(3, dtype=int))
        for i in np.flatnonzero(terminated):
            told = entries(infos, int(i))
            assert told["return"] == told["params"]["length"] * told["params"]["reward"]
            ended += 1
    assert sum(completions(curriculum).values()) == ended
    envs.close()


# --- resets by the caller ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AutoresetMode)
def test_resets_in_mid_episode(opened: Opened, mode: Any) -> None:
    curriculum = opened(task_generator=broken(["", " "]))
    with vector_of(curriculum, SyncVectorEnv, 3, mode) as envs:
        player = Player(envs)
        player.reset()
        told = [player.params[i] for i in range(3)]
        player.reset()
        assert told == [player.params[i] for i in range(3)], "no step was taken"
        drawn = sum(curriculum.counts)
        player.step()
        player.reset(seed=4)
        assert told == [player.params[i] for i in range(3)], "there is a seed"
        assert sum(curriculum.counts) == drawn
        player.step()
        options = {"reset_mask": np.array([False, True, False])}
        player.reset(options=options)
        assert sum(curriculum.counts) == drawn + 1
        player.reset(options=options)
        assert sum(curriculum.counts) == drawn + 1, "it has not been stepped since"
        assert set(options) == {"reset_mask"}, "it is the caller's"
        for _ in range(20):
            player.step()
    assert sorted(curriculum.reports) == sorted(player.finished())


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_when_all_fail_one_error_has_every_cause(opened: Opened, kind: Any, mode: Any) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset"]))
    with vector_of(curriculum, kind, 2, mode) as envs:
        with pytest.raises(FailingTasksError, match="10 tasks in a row") as caught:
            envs.reset()
        assert len(caught.value.causes) == ATTEMPTS
        assert len(curriculum.failed) == 2 * ATTEMPTS


def test_async_without_shared_memory(opened: Opened) -> None:
    curriculum = opened(size=16, task_generator=broken(["reset", "", " ", "  "]))
    with vector_of(curriculum, AsyncVectorEnv, 2, NEXT_STEP, shared_memory=False) as envs:
        player = Player(envs)
        player.reset()
        for _ in range(30):
            player.step()
    assert sorted(curriculum.reports) == sorted(player.finished())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_score_that_is_none_ends_it_and_loses_nothing(
    opened: Opened, kind: Any, mode: Any
) -> None:
    """The first sub-environment scores; the second cannot, in the same step."""
    curriculum = opened(
        task_generator=Buckets(
            label="w", buckets={"length": [2], "reward": [1 / 64], "end": ["goal"], "n": [1, 2]}
        )
    )
    makers = [make, lambda: TaskEnv(Walk(), score=lambda info: None)]
    envs = CurriculumVectorEnv(kind(makers, autoreset_mode=mode), curriculum)
    envs.reset()
    envs.step(np.zeros(2, dtype=int))
    with pytest.raises(TaskApplyError, match="the score is None"):
        envs.step(np.zeros(2, dtype=int))
    assert len(curriculum.failed) == 1
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
    class Higher(Walk):
        observation_space = gymnasium.spaces.Box(0.0, 2.0, (3,), np.float32)

    envs = kind([make, lambda: TaskEnv(Higher())], observation_mode="different")
    with pytest.raises(TaskApplyError, match=r"sub-environment 1 has the observation_space .*pad"):
        CurriculumVectorEnv(envs, opened())
    envs.close()


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
