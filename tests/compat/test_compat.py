"""Scripts of the replaced system: one import changes, and its defects stay mended."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from redis_curriculum import Outcome
from redis_curriculum.compat import (
    Curriculum,
    CurriculumConfig,
    CurriculumEnv,
    DiscreteRandomConfig,
    LearningProgressConfig,
    TaskTracker,
)
from redis_curriculum.errors import CompatWarning, InvalidInputError
from redis_curriculum.tasks import Buckets
from tests.envs.test_puffer import Relay


class EnvConfig:
    """An environment's config as the older system had it: an object with a label."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.label = f"maze-{size}"


class Arena(Relay):
    """An environment for agents that takes such a config; its rewards are far above 1."""

    taken: Any = None

    def set_mg_config(self, config: Any) -> None:
        self.taken = config
        super().set_mg_config({"length": 3, "reward": 40.0, "end": "goal"})


class Mazes:
    """An older task generator: the config of a task follows from its id alone."""

    class Config:
        def create(self) -> Mazes:
            return Mazes()

    def get_task(self, task_id: int) -> EnvConfig:
        return EnvConfig(random.Random(task_id).choice([5, 9, 13]))


@pytest.fixture
def place(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REDIS_CURRICULUM_URL", url)
    monkeypatch.setenv("REDIS_CURRICULUM_NAME", name)
    return name


def config_of(**settings: Any) -> CurriculumConfig:
    algorithm = LearningProgressConfig(num_active_tasks=16, **settings)
    return CurriculumConfig(task_generator=Mazes.Config(), algorithm_config=algorithm, seed=3)


@pytest.fixture
def curriculum(place: str) -> Iterator[Curriculum]:
    opened = config_of().make()
    yield opened
    opened.close()


def train(curriculum: Curriculum, episodes: int) -> list[int]:
    """The older loop, with its private names."""
    drawn = []
    for i in range(episodes):
        task = curriculum.get_task()
        reward = (i % 7) / 6 + 1 / task.get_env_cfg().size
        task.complete(reward)
        curriculum.update_task_performance(task._task_id, min(reward, 1.0))  # noqa: SLF001
        drawn.append(task.task_id)
    return drawn


def test_a_loop_goes_on(curriculum: Curriculum, place: str) -> None:
    assert curriculum.core.name == place
    task = curriculum.get_task()
    assert task.get_label() == task.get_env_cfg().label
    assert task.get_env_cfg().size == Mazes().get_task(task.task_id).size
    train(curriculum, 400)
    stats = curriculum.stats()
    assert (stats["num_completed"], stats["num_scheduled"]) == (400, 401), "each counted once"
    assert curriculum.get_base_stats()["num_active_tasks"] == 16
    assert set(curriculum.core.labels()) == {"maze-5", "maze-9", "maze-13"}
    tracker = curriculum.algorithm.task_tracker
    found = tracker.get_task_stats(task.task_id)
    assert found is not None
    assert found["completion_count"] > 10
    assert 0 <= found["mean_score"] <= 1
    assert found["lp_score"] == curriculum.get_task_lp_score(task.task_id) > 0
    assert curriculum.get_task_lp_score(1) == 0.0
    assert tracker.get_all_tracked_tasks() == curriculum.core.task_ids()
    assert sum(curriculum.algorithm.score_tasks(tracker.get_all_tracked_tasks()).values()) == (
        pytest.approx(1)
    )
    assert tracker.get_global_stats()["total_completions"] == 400
    assert tracker.get_task_label(task.task_id) == task.get_label()
    assert curriculum.calculate_gini_coefficients().keys() >= {"gini/raw_lp"}
    assert all(name.startswith("algorithm/") for name in curriculum.algorithm.stats("algorithm/"))
    before = sum(curriculum.get_evictions_this_epoch().values())
    worst = curriculum.algorithm.recommend_eviction(tracker.get_all_tracked_tasks())
    assert worst is not None
    tracker.remove_task(worst)
    assert worst not in tracker.get_all_tracked_tasks()
    assert sum(curriculum.get_evictions_this_epoch().values()) == before + 1


def test_a_state_goes_back_and_keeps_labels_and_settings(curriculum: Curriculum) -> None:
    """1.1, 1.2: the older system lost both."""
    train(curriculum, 60)
    labels = curriculum.core.labels()
    state = pickle.loads(pickle.dumps(curriculum.get_state()))
    drawn = train(curriculum, 20)
    curriculum.load_state(state)
    assert curriculum.core.labels() == labels
    assert curriculum.core.config.algorithm == curriculum.core.config.algorithm
    assert train(curriculum, 20) == drawn
    with pytest.raises(InvalidInputError, match="state_dict"):
        curriculum.load_state({"config": {}, "seed": (), "tasks": {}})


def test_the_epoch_counters_lose_nothing(curriculum: Curriculum, place: str) -> None:
    """5.1: reading them zeroed them for everybody else."""
    train(curriculum, 30)
    other = config_of().make()
    first = curriculum.get_and_reset_sampling_counts_this_epoch()
    assert sum(first.values()) == 30
    assert curriculum.get_and_reset_sampling_counts_this_epoch() == {}
    assert other.get_and_reset_sampling_counts_this_epoch() == first
    train(curriculum, 5)
    assert sum(curriculum.get_and_reset_sampling_counts_this_epoch().values()) == 5
    curriculum.core.evict(curriculum.core.task_ids()[0])
    assert sum(curriculum.get_and_reset_evictions_this_epoch().values()) == 1
    curriculum.reset_epoch_counters()
    assert curriculum.get_evictions_this_epoch() == {}
    report = curriculum.core.epoch_report(0)
    assert report is not None
    assert (report.totals["samples"], report.totals["evictions"]) == (35, 1)
    train(curriculum, 4)
    assert sum(curriculum.get_and_reset_sampling_counts_this_epoch().values()) == 4
    other.close()


def test_scores_beyond_the_range_are_mapped(curriculum: Curriculum, url: str, name: str) -> None:
    task = curriculum.get_task()
    with pytest.warns(CompatWarning, match=r"37.* outside of \[0, 1\].*score_range"):
        assert curriculum.update_task_performance(task.task_id, 37.0) is Outcome.APPLIED
    curriculum.update_task_performance(task.task_id, -2.0)  # told once
    record = curriculum.core.get_task_stats(task.task_id)
    assert record is not None
    assert (record.total_score, record.last_score) == (1.0, 0.0)
    for wrong in (float("nan"), "0.5", None, [0.5]):
        with pytest.raises(InvalidInputError, match="score must be"):
            curriculum.update_task_performance(task.task_id, wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"score must be a number, got '0.5'"):
        task.complete("0.5")  # type: ignore[arg-type]
    task.complete(0.5)  # the object is as before
    assert (task._num_completions, task._mean_score) == (1, 0.5)  # noqa: SLF001
    config = CurriculumConfig(Mazes(), num_active_tasks=4, score_range=(0.0, 50.0))
    wide = Curriculum(config, url, f"{name}.wide")
    task = wide.get_task()
    wide.update_task_performance(task.task_id, 37.0)
    record = wide.core.get_task_stats(task.task_id)
    assert record is not None
    assert record.last_score == pytest.approx(0.74)
    wide.close()


def test_what_has_no_effect_says_so() -> None:
    with pytest.warns(CompatWarning) as told:
        config = LearningProgressConfig(
            use_shared_memory=True, memory=25, session_id="run-42", lp_score_temperature=0.5
        )
    assert sorted(str(w.message).split()[0] for w in told) == ["memory", "use_shared_memory"]
    assert config.session_id == "run-42"
    assert config.scorer.temperature == 0.5  # type: ignore[attr-defined]
    with pytest.warns(CompatWarning, match="min_presentations_for_eviction 5 becomes 10"):
        early = CurriculumConfig(Mazes(), 8, 0, LearningProgressConfig(), 5)
    assert early.config.algorithm.min_presentations_for_eviction == 10  # type: ignore[attr-defined]
    with pytest.raises(InvalidInputError):
        LearningProgressConfig(no_such_setting=1)
    with pytest.raises(InvalidInputError, match="setting must be one that the older system had"):
        CurriculumConfig(Mazes(), no_such_setting=1)
    for algorithm in ("learning_progress", {"type": "magic"}):
        with pytest.raises(InvalidInputError, match="algorithm_config"):
            CurriculumConfig(Mazes(), algorithm_config=algorithm)
    with pytest.raises(InvalidInputError, match="holds the tasks"):
        TaskTracker(10)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")
@pytest.mark.parametrize("preset", ["default", "stable", "fast_learning", "arena_legacy"])
def test_presets(preset: str) -> None:
    from redis_curriculum import LearningProgressConfig as Core

    found = getattr(LearningProgressConfig, preset)(num_active_tasks=50)
    assert found.num_active_tasks == 50
    assert found.scorer == getattr(Core, preset)()


def test_no_algorithm_draws_uniformly(url: str, name: str) -> None:
    for algorithm in (None, DiscreteRandomConfig(), {"type": "discrete_random"}):
        config = CurriculumConfig(Mazes(), num_active_tasks=4, algorithm_config=algorithm)
        assert config.config.algorithm.kind == "uniform"
    own = Buckets(label="b-{size}", buckets={"size": [1, 2]})
    found = Curriculum(CurriculumConfig(own, num_active_tasks=4), url, name)
    assert (
        set(found.get_task().get_env_cfg()) == set(found.get_task().get_slice_values()) == {"size"}
    )
    found.close()


def test_the_older_wrapper_reports_once(curriculum: Curriculum) -> None:
    env = CurriculumEnv(Arena(), curriculum)
    env.reset()
    assert isinstance(env.env.taken, EnvConfig)  # type: ignore[attr-defined]
    steps = (env.step(np.zeros(env.num_agents)) for _ in range(20))
    with pytest.warns(CompatWarning, match="score_range"):
        assert len(list(steps)) == 20
    stats = curriculum.stats()
    assert stats["num_completed"] == stats["num_scheduled"] - 1 > 3
    assert stats["mean_task_success_rate"] == 1.0
    assert stats["num_failures"] == 0


def test_a_pickled_curriculum_is_another_worker(curriculum: Curriculum) -> None:
    copied = pickle.loads(pickle.dumps(curriculum))
    assert copied.core.worker_id != curriculum.core.worker_id
    train(copied, 5)
    assert curriculum.stats()["num_completed"] == 5
    copied.close()


def test_the_package_itself_stays_light() -> None:
    code = "import sys, redis_curriculum; print([m for m in sys.modules if 'compat' in m])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "redis_curriculum.compat" not in shown.stdout
