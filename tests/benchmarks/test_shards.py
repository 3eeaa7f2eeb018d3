"""docs/operate/scaling.md: draws over 16 shards follow the single pool's distribution."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pytest
from scipy import stats

from redis_curriculum._sampling.sigmoid import Moments, Sums, distribution, pool_weights
from redis_curriculum.config import LearningProgressConfig
from tests.benchmarks.test_smoke import BENCHMARKS

SHARDS = runpy.run_path(str(BENCHMARKS / "shards.py"))
DRAWS = 200_000


def world_of(**hypers: Any) -> Any:
    world = SHARDS["World"](800, LearningProgressConfig(pooling="task", **hypers), 5)
    world.play(2_000)
    return world


def p_value(drawn: Any, chances: Any) -> float:
    seen = np.bincount(drawn, minlength=len(chances))
    return float(stats.chisquare(seen, chances / chances.sum() * len(drawn)).pvalue)


@pytest.mark.parametrize(
    "hypers", [{}, {"z_score_amplification": 3.0}, {"temperature": 0.1}, {"rand_task_rate": 0.0}]
)
def test_with_fresh_tables_the_draws_are_the_single_pools(hypers: dict[str, float]) -> None:
    world = world_of(**hypers)
    world.publish(range(16))
    drawing = SHARDS["Drawing"](world)
    truth = distribution(world.pool(), world.hypers)
    assert drawing.chances() == pytest.approx(truth, rel=1e-9)
    pool = world.pool()
    weights = pool_weights(pool, world.hypers)[pool.eligible(world.hypers)]
    whole = Moments.of(Sums.of(weights), len(weights))
    assert drawing.moments == whole, "sums add up to the last bit"
    assert p_value(drawing.draw(DRAWS), truth) > 1e-4


def test_with_stale_tables_the_draws_follow_what_the_tables_say_and_are_near() -> None:
    world = world_of()
    drawing = SHARDS["Drawing"](world)
    drawn, truth = drawing.draw(DRAWS), distribution(world.pool(), world.hypers)
    assert p_value(drawn, drawing.chances()) > 1e-4
    assert p_value(drawn, truth) < 1e-4, "tables 2,000 episodes old are seen in 200,000 draws"
    near = [SHARDS["distance"](stale, tasks=800) for stale in (0, 80, 8_000)]
    assert near[0] < 1e-12
    assert near[0] < near[1] < near[2] < 0.2
    assert near[1] < 0.02


def test_a_shard_chosen_by_the_number_of_its_tasks_alone_would_be_wrong() -> None:
    """Rejection within a shard, until it accepts: each shard then gets its share of tasks."""
    world = world_of()
    world.slow[world.shard == 3] = world.fast[world.shard == 3]
    world.publish(range(16))
    drawing, truth = SHARDS["Drawing"](world), distribution(world.pool(), world.hypers)
    wrong = []
    for chance, tasks in zip(*drawing.eligible, strict=True):
        w = truth[tasks] / truth[tasks].sum()
        wrong.append(world.random.choice(tasks, round(20_000 * chance), p=w))
    eligible = np.where(world.eligible, truth, 0)
    assert p_value(np.concatenate(wrong)[:], eligible + 1e-300) < 1e-4
