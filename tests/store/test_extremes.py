"""Pools, settings and batches at the ends of their ranges: right answers in bounded pieces."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats

from redis_curriculum import Curriculum
from redis_curriculum._protocol.keys import Keys
from redis_curriculum._sampling.sigmoid import expected_trials
from redis_curriculum.config import CurriculumConfig, LearningProgressConfig, WorkerSettings
from redis_curriculum.tasks import Buckets, Outcome
from tests.harness import Harness, commands_run, connect, plant, text_config
from tests.servers import RunningServer
from tests.statistics import PoolTask

CHUNK = WorkerSettings().chunk
TASKS = Buckets(label="kind-{kind}", buckets={"kind": [0, 1, 2], "seed": list(range(9))})


def config_of(size: int, **algorithm: Any) -> CurriculumConfig:
    few = {"min_samples_for_lp": 1, "min_presentations_for_eviction": 2, "replacement_rate": 0.0}
    hypers = LearningProgressConfig(**{**few, **algorithm})
    return CurriculumConfig(task_generator=TASKS, num_active_tasks=size, seed=3, algorithm=hypers)


def follows(drawn: Counter[int], distribution: dict[int, float]) -> float:
    """p-value of the draws; tasks that are drawn hardly ever are taken together."""
    count = drawn.total()
    common = [i for i, p in distribution.items() if p * count >= 10]
    seen = [drawn[i] for i in common]
    wanted = [distribution[i] * count for i in common]
    rest = count - sum(wanted)
    if rest > 10:
        seen, wanted = [*seen, count - sum(seen)], [*wanted, rest]
    return float(stats.chisquare(seen, np.array(wanted) * sum(seen) / sum(wanted)).pvalue)


@pytest.mark.parametrize("pooling", ["label", "task"])
@pytest.mark.parametrize("scores", ["mixed", "equal"])
@pytest.mark.parametrize(
    "algorithm",
    [
        {"z_score_amplification": 0.0},
        {"z_score_amplification": 100.0},
        {"temperature": 5e-324},
        {"temperature": 1e-9},
        {"temperature": 1000.0},
        {"performance_bonus_weight": 1.0, "z_score_amplification": 100.0},
    ],
    ids=str,
)
def test_extreme_settings(
    url: str, name: str, pooling: str, scores: str, algorithm: dict[str, Any]
) -> None:
    config = config_of(24, pooling=pooling, **algorithm)
    with Curriculum.open(url, name, config) as curriculum:
        ids = curriculum.task_ids()
        for round_ in range(6):
            places = range(24) if scores == "mixed" else [0] * 24
            results = [(i * 7 + round_ * round_) % 11 / 11 for i in places]
            curriculum.update_many(zip(ids, results, strict=True))
        distribution = curriculum.distribution()
        assert sum(distribution.values()) == pytest.approx(1)
        drawn = Counter(task.task_id for task in curriculum.get_tasks(4_000))
        assert drawn.total() == 4_000
        assert follows(drawn, distribution) > 1e-6
        assert curriculum.check() == []


def test_a_pool_of_one(url: str, name: str) -> None:
    with Curriculum.open(url, name, config_of(1)) as curriculum:
        (only,) = curriculum.task_ids()
        for n in range(4):
            assert curriculum.get_task().task_id == only
            assert curriculum.update_task_performance(only, n / 4) is Outcome.APPLIED
            assert curriculum.distribution() == {only: 1.0}
        assert {task.task_id for task in curriculum.get_tasks(300)} == {only}
        assert curriculum.check() == []


def test_draws_that_end_short_are_made_up_and_stay_exact(
    server: RunningServer, url: str, name: str
) -> None:
    """The worst pool of two labels at amplification 100: one trial in 160 is accepted."""
    hypers = LearningProgressConfig(z_score_amplification=100.0, replacement_rate=0.0)
    config = text_config(hypers, num_active_tasks=1000)
    harness = Harness(connect(server), name, config)
    tasks = [PoolTask(i, "rare" if i < 6 else "many", 100, 0.1, 0.5) for i in range(1000)]
    pool = plant(harness, tasks, {"rare": (1.0, 0.5), "many": (0.0, 0.5)})
    assert expected_trials(pool, hypers) > 100
    with Curriculum.open(url, name) as curriculum:
        before = commands_run(server, "evalsha")
        drawn = Counter(task.task_id for task in curriculum.get_tasks(1_500))
        assert drawn.total() == 1_500
        assert commands_run(server, "evalsha") - before >= 6
        assert follows(drawn, curriculum.distribution()) > 1e-6
    harness.wipe()


def split_in_chunks(server: RunningServer, url: str, name: str, count: int) -> None:
    with Curriculum.open(url, name, config_of(300)) as curriculum:
        ids = curriculum.task_ids()
        before = commands_run(server, "evalsha") + commands_run(server, "eval")
        outcomes = curriculum.update_many((ids[i % 300], i % 64 / 64) for i in range(count))
        calls = commands_run(server, "evalsha") + commands_run(server, "eval") - before
        assert -(-count // CHUNK) <= calls <= -(-count // CHUNK) + 2
        assert outcomes == [Outcome.APPLIED] * count
        with server.client() as client:
            done = client.hvals(Keys(name).count("completions"))
        assert sum(map(int, done)) == count
        assert len(curriculum.get_tasks(count // 10)) == count // 10
        assert curriculum.check() == []


def test_a_large_batch_is_split(server: RunningServer, url: str, name: str) -> None:
    split_in_chunks(server, url, name, 20_000)


@pytest.mark.slow
def test_a_batch_of_a_million_is_split(server: RunningServer, url: str, name: str) -> None:
    split_in_chunks(server, url, name, 1_000_000)
