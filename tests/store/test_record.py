"""A record on the server equals the reference's, all 17 digits of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from redis_curriculum._protocol.scripts import folder
from redis_curriculum._sampling.sigmoid import Sums
from redis_curriculum._store.variant import readable
from redis_curriculum.config import LearningProgressConfig
from tests.harness import Harness, Server, connect, text_config
from tests.invariants import assert_same, stored_sums
from tests.model import ModelCurriculum, Spec
from tests.statistics import Progress

UPDATES = 400

COMBINATIONS = list(itertools.product([True, False], [True, False], [0.5, 0.07, 0.9]))


def scores(rng: random.Random, threshold: float) -> Iterator[float]:
    """Random scores, and those at which something changes."""
    special = [0.0, 1.0, threshold, 0.75, 5e-324, 1e-17, 0.1 + 0.2, 1 - 2**-53]
    while True:
        yield rng.choice(special) if rng.random() < 0.2 else rng.random()


def random_hypers(rng: random.Random, **given: object) -> LearningProgressConfig:
    start = rng.randint(1, 6)
    fields = {
        "task_tracker_ema_alpha": rng.choice([1.0, 0.1, rng.random() or 1.0]),
        "ema_timescale": rng.choice([1.0, 0.1, rng.random() or 1.0]),
        "slow_timescale_factor": rng.choice([1 - 2**-53, 0.2, rng.random() or 0.5]),
        "success_threshold": rng.choice([0.0, 0.5, 1.0, rng.random()]),
        "min_samples_for_lp": start,
        "min_presentations_for_eviction": start + rng.randint(0, 6),
        "pooling": rng.choice(["label", "task"]),
        "performance_bonus_weight": rng.choice([0.0, 1.0, rng.random()]),
        "replacement_rate": 0.0,
    }
    return LearningProgressConfig.model_validate(fields | given)


def pair(
    server: Server, name: str, hypers: LearningProgressConfig, specs: list[Spec]
) -> tuple[Harness, ModelCurriculum]:
    harness = Harness(connect(server), name, text_config(hypers, num_active_tasks=len(specs)))
    model = ModelCurriculum(hypers, len(specs), seed=0)
    harness.create(specs)
    model.create(specs)
    return harness, model


@pytest.mark.parametrize(("bidirectional", "baseline", "early"), COMBINATIONS)
def test_records_equal_the_reference_bit_for_bit(
    every_server: Server, name: str, *, bidirectional: bool, baseline: bool, early: float
) -> None:
    rng = random.Random(f"{bidirectional} {baseline} {early}")
    hypers = random_hypers(
        rng,
        use_bidirectional=bidirectional,
        use_baseline_normalization=baseline,
        early_progress_amplification=early,
    )
    harness, model = pair(every_server, name, hypers, [(i, f"l{i % 3}", {}) for i in range(7)])
    stream, done = scores(rng, hypers.success_threshold), 0
    while done < UPDATES:
        batch = [(rng.randrange(8), next(stream)) for _ in range(rng.choice([1, 1, 2, 9, 40]))]
        assert harness.record(batch) == [0, *map(int, model.record(batch))]
        done += len(batch)
        if rng.random() < 0.2:
            assert_same(harness, model)
    assert_same(harness, model)


def test_a_task_without_a_baseline_does_without_one(every_server: Server, name: str) -> None:
    """A forced restore may switch normalisation on: who has results by then has no baseline."""
    rng = random.Random(9)
    hypers = random_hypers(rng, use_baseline_normalization=True, pooling="task")
    harness, model = pair(every_server, name, hypers, [(i, "l", {}) for i in range(6)])
    for task_id in range(3):
        statistics = hypers.fold({}, rng.random())
        del statistics["random_baseline"]
        stored = readable(hypers, "task", statistics, 0.5)
        harness.client.hset(harness.keys.task(task_id), mapping=stored)
        model.tasks[task_id].progress = Progress(0.5, **statistics)
    batch = [(rng.randrange(6), rng.random()) for _ in range(40)]
    harness.record(batch)
    model.record(batch)
    for task_id, fields in enumerate(harness.read(range(6))):
        expected = model.tasks[task_id].progress
        names = hypers.names("task")
        assert {n: float(fields[n]) for n in names if n in fields} == expected.statistics
        assert ("random_baseline" in fields) == (task_id >= 3)


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_tiny_progress_in_large_batches_leaves_exact_sums(
    server: Server, name: str, pooling: str
) -> None:
    rng = random.Random(5)
    hypers = random_hypers(
        rng, pooling=pooling, min_samples_for_lp=1, ema_timescale=1e-3, use_bidirectional=True
    )
    harness, model = pair(server, name, hypers, [(i, f"l{i % 50}", {}) for i in range(500)])
    for _ in range(4):
        batch = [(i, 0.5 + 1e-6 * rng.random()) for i in range(500)] * 2
        harness.record(batch)
        model.record(batch)
    highest = harness.client.zrange(harness.keys.ripe, -1, -1, withscores=True)
    highest += harness.client.zrange(harness.keys.learning, -1, -1, withscores=True)
    assert all(0 < score < 1e-8 for _, score in highest)
    assert_same(harness, model)


def test_one_batch_equals_many_calls(server: Server, name: str) -> None:
    rng = random.Random(6)
    hypers = random_hypers(rng)
    specs: list[Spec] = [(i, f"l{i % 2}", {}) for i in range(5)]
    results = [(rng.randrange(5), rng.random()) for _ in range(60)]
    one, model = pair(server, name, hypers, specs)
    one.record(results)
    many, _ = pair(server, f"{name}.many", hypers, specs)
    for result in results:
        many.record([result])
    model.record(results)
    assert_same(one, model)
    assert_same(many, model)


def test_a_thousand_results_in_one_call(server: Server, name: str) -> None:
    hypers = random_hypers(random.Random(7))
    harness, model = pair(server, name, hypers, [(i, "l", {}) for i in range(1000)])
    results = [(i, i / 1000) for i in range(1000)]
    assert harness.record(results) == [0, *[1] * 1000]
    model.record(results)
    assert_same(harness, model)


SUMS = """
local call, pool, pooling_is_label = redis.call, KEYS[1], true
local fresh_until, weight, unpack_label
{include}
for i = 1, #ARGV, 4 do
  sums_move(tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
end
sums_flush()
"""


def test_sums_are_exact_for_a_million_tasks_of_one_label(every_server: Server, name: str) -> None:
    include = (folder() / "draws" / "sigmoid" / "index.lua").read_text()
    source = SUMS.format(include=include)
    harness = Harness(connect(every_server), name, text_config(LearningProgressConfig()))
    rng, expected, count, y = random.Random(8), Sums(), 0, 0.0
    moves: list[float] = []
    for _ in range(3000):
        after = rng.choice([count, count, count + 1, max(0, count - 1), rng.randrange(2**20)])
        then = rng.choice([0.0, 1e-9, 2.0, y, rng.random(), rng.random() * 2])
        moves += [count, y, after, then]
        expected = expected.add(y, -count).add(then, after)
        count, y = after, then
    harness.client.eval(source, 1, harness.keys.pool, *moves[:6000])
    harness.client.eval(source, 1, harness.keys.pool, *moves[6000:])
    assert stored_sums(harness.client, harness.keys) == asdict(expected)


def test_first_success_after_fifty_failures_is_progress(server: Server, name: str) -> None:
    harness, _ = pair(server, name, LearningProgressConfig(), [(0, "l", {})])
    harness.record([(0, 0.0)] * 50)
    (record,) = harness.read([0])
    assert record["learning_progress"] == "0"
    harness.record([(0, 1.0)])
    (record,) = harness.read([0])
    assert float(record["learning_progress"]) > 0


def test_what_needs_a_result_is_absent_before_the_first(server: Server, name: str) -> None:
    harness, _ = pair(server, name, LearningProgressConfig(), [(0, "l", {"size": 5})])
    (record,) = harness.read([0])
    assert record.pop("created_ms").isdigit()
    assert record == {
        "label": "l",
        "params": '{"size": 5}',
        "sample_count": "0",
        "completion_count": "0",
        "failure_count": "0",
    }
