"""Draws on the server: the very numbers of the reference, and by chi-square its distribution."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import fakeredis
import numpy as np
import pytest
from scipy import stats

from redis_curriculum._protocol.scripts import folder
from redis_curriculum._sampling import draw
from redis_curriculum._sampling.draw import distribution
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum._sampling.sigmoid import expected_trials
from redis_curriculum.config import LearningProgressConfig
from tests.harness import Harness, Server, commands_run, connect, plant, text_config
from tests.statistics import PoolTask, make_pool

pytestmark = pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")

MIN_SAMPLES, MIN_PRESENTATIONS = 3, 6
FRESH, LEARNING, RIPE = 1, 4, 8
"""Completions that put a task into each part."""


def hypers_of(**given: Any) -> LearningProgressConfig:
    fields = {
        "min_samples_for_lp": MIN_SAMPLES,
        "min_presentations_for_eviction": MIN_PRESENTATIONS,
        "replacement_rate": 0.0,
        "rand_task_rate": 0.0,
    }
    return LearningProgressConfig.model_validate(fields | given)


def random_hypers(rng: random.Random) -> LearningProgressConfig:
    return hypers_of(
        pooling=rng.choice(["label", "task", "task"]),
        performance_bonus_weight=rng.choice([0.0, 0.0, 0.3, 1.0]),
        exploration=rng.choice(["share", "bonus"]),
        exploration_share=rng.choice([0.0, 0.25, 1.0]),
        exploration_bonus=rng.choice([0.01, 0.1, 5.0]),
        rand_task_rate=rng.choice([0.0, 0.05, 1.0]),
        progress_smoothing=rng.choice([0.0, 0.2]),
        temperature=rng.choice([0.0, 0.0, 0.0, 0.001, 0.3, 50.0]),
        z_score_amplification=rng.choice([0.0, 1.0, 10.0, 10.0, 100.0]),
        eviction_threshold_percentile=rng.choice([0.1, 0.4, 1.0]),
        replacement_rate=rng.choice([0.0, 0.0, 0.05]),
    )


def lps(rng: random.Random) -> Callable[[], float]:
    """One of several shapes that learning progress may have over a pool."""
    shapes: list[Callable[[], float]] = [
        rng.random,
        lambda: 0.0,
        lambda: 0.25,
        lambda: rng.choice([0.0, 0.1, 0.1, 0.5]),
        lambda: rng.random() * 1e-9,
        lambda: 0.9 if rng.random() < 0.02 else 0.001 * rng.random(),
        lambda: 0.001 / (rng.random() + 0.001),
        lambda: rng.random() ** 20,
    ]
    return rng.choice(shapes)


def random_pool(
    rng: random.Random, parts: list[int]
) -> tuple[list[PoolTask], dict[str, tuple[float, float]]]:
    lp = lps(rng)
    size, labels = rng.choice([1, 2, 17, 200]), rng.choice([1, 3, 20])
    ids = [0, *rng.sample(range(1, 2**53), size - 1)]
    tasks = [
        PoolTask(task_id, f"l{rng.randrange(labels)}", rng.choice(parts), lp(), rng.random())
        for task_id in ids
    ]
    never = [t._replace(completion_count=0, learning_progress=None, p_true=None) for t in tasks]
    tasks = [
        old if old.completion_count == FRESH and rng.random() < 0.5 else task
        for old, task in zip(never, tasks, strict=True)
    ]
    progress = lps(rng)
    known = {f"l{i}": (progress(), rng.random()) for i in range(labels) if rng.random() < 0.9}
    return tasks, known


def harness_of(server: Server, name: str, hypers: LearningProgressConfig) -> Harness:
    return Harness(connect(server), name, text_config(hypers, num_active_tasks=2**20))


def assert_equal_draws(harness: Harness, pool: Pool, counts: list[int]) -> list[int]:
    """The same tasks, wish for new ones and state afterwards; returns how many were drawn."""
    drawn = []
    for count in counts:
        stream = RandomStream(harness.stream_state)
        expected = draw.draw(pool, harness.hypers, stream, count)
        reply = harness.sample(count)
        assert reply.ids == expected.task_ids
        assert reply.wanted == expected.wanted_replacements
        assert expected.short == (len(reply.ids) + reply.wanted < count)
        assert harness.stream_state == stream.state
        drawn.append(len(reply.ids))
    return drawn


PARTS = {
    "mixed": [FRESH, LEARNING, RIPE],
    "no eligible": [FRESH],
    "no under-sampled": [LEARNING, RIPE],
    "only learning": [LEARNING],
    "only ripe": [RIPE],
    "few under-sampled": [FRESH] + [LEARNING] * 10 + [RIPE] * 20,
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_draws_equal_the_reference_bit_for_bit(
    every_server: Server, name: str, parts: list[int]
) -> None:
    rng = random.Random(f"draws {parts}")
    for i in range(15):
        harness = harness_of(every_server, f"{name}.{i}", random_hypers(rng))
        pool = plant(harness, *random_pool(rng, parts))
        assert_equal_draws(harness, pool, [1, 1, 1, 5, 31, 32, 60])
        harness.wipe()


@pytest.mark.parametrize("pooling", ["label", "task"])
def test_replacements_are_wanted_where_the_reference_wants_them(
    every_server: Server, name: str, pooling: str
) -> None:
    rng, replaced = random.Random(f"replacements {pooling}"), []
    for i in range(10):
        hypers = hypers_of(
            pooling=pooling,
            replacement_rate=rng.choice([0.3, 1.0]),
            exploration_share=1.0,
            eviction_threshold_percentile=rng.choice([0.05, 0.4, 1.0]),
        )
        harness = harness_of(every_server, f"{name}.{i}", hypers)
        pool = plant(harness, *random_pool(rng, PARTS["mixed"]))
        counts = [1, 2, 40, 100]
        replaced.append(sum(counts) - sum(assert_equal_draws(harness, pool, counts)))
        harness.wipe()
    assert max(replaced) > 10
    assert min(replaced) == 0


def steep_pool(size: int) -> list[PoolTask]:
    """Half a percent far above the rest: at amplification 100 next to the fewest acceptances."""
    few = size // 200
    rest = [PoolTask(few + i, "l", RIPE, 0.001 + i * 1e-9, 0.5) for i in range(size - few)]
    return [PoolTask(i, "l", RIPE, 1.0, 0.5) for i in range(few)] + rest


STEEP = {"pooling": "task", "z_score_amplification": 100.0, "exploration_share": 0.0}


def test_rejection_that_takes_long_goes_over_to_strata(every_server: Server, name: str) -> None:
    """With 64 rejections in a row the strata take over, and stay for the rest of the call."""
    hypers = hypers_of(**STEEP)
    harness = harness_of(every_server, name, hypers)
    pool = plant(harness, steep_pool(400))
    assert expected_trials(pool, hypers) > 64
    assert_equal_draws(harness, pool, [1] * 10 + [2] * 10 + [31, 32, 100])


def test_a_call_ends_short_where_no_strata_apply(every_server: Server, name: str) -> None:
    hypers = hypers_of(**STEEP, performance_bonus_weight=1e-9)
    harness = harness_of(every_server, name, hypers)
    pool = plant(harness, steep_pool(1000))
    harness.set_stream(RandomStream.from_seed(65).state)  # one of 200 that come to that soon
    assert assert_equal_draws(harness, pool, [3, 3]) == [1, 3]


def test_a_step_draws_from_what_its_results_left(every_server: Server, name: str) -> None:
    rng = random.Random(12)
    harness = harness_of(every_server, name, hypers_of(min_samples_for_lp=1, pooling="task"))
    harness.create([(i, f"l{i % 2}", {}) for i in range(20)])
    twin = harness_of(every_server, f"{name}.twin", harness.hypers)
    twin.create([(i, f"l{i % 2}", {}) for i in range(20)])
    for _ in range(40):
        results = [(rng.randrange(20), rng.random()) for _ in range(3)]
        together = harness.step(results, 4)
        assert together.outcomes == twin.record(results)[1:]
        assert together.tasks == twin.sample(4).tasks


def test_an_empty_pool_draws_nothing_and_no_random_number(every_server: Server, name: str) -> None:
    harness = harness_of(every_server, name, hypers_of(replacement_rate=1.0, exploration_share=1.0))
    before = harness.stream_state
    reply = harness.sample(5)
    assert (reply.ids, reply.wanted, reply.missing) == ([], 0, 2**20)
    assert harness.stream_state == before


# --- the random stream ---------------------------------------------------------------------------

STREAM = """
local call, meta_key, meta, answer = redis.call, KEYS[1], {{ 0, 0, 0, ARGV[1] }}, {{}}
{include}
for i = 2, #ARGV do
  answer[2 * i - 3] = string.format('%.17g', uniform())
  answer[2 * i - 2] = string.format('%.0f', index(tonumber(ARGV[i])))
end
store_random()
return answer
"""


def stream_on(
    client: Any, key: str, state: str, sizes: list[int], before: str
) -> tuple[list[float], str]:
    source = before + STREAM.format(include=(folder() / "include" / "random.lua").read_text())
    numbers = client.eval(source, 1, key, state, *sizes)
    return [float(number) for number in numbers], client.hget(key, "random")


BIT = """
local bit = { tohex = function(n) return string.format('%08x', n) end }
"""


def assert_stream(client: Any, key: str, before: str = "") -> None:
    rng, stream = random.Random(13), RandomStream.from_seed(2**62)
    sizes = [rng.choice([1, 2, 3, 1000, 2**31 + 7, 2**32 - 209]) for _ in range(1000)]
    state = stream.text
    expected = [number for n in sizes for number in (stream.uniform(), stream.index(n))]
    assert stream_on(client, key, state, sizes, before) == (expected, stream.text)


def test_the_random_stream_has_equal_bits_on_every_server(every_server: Server, name: str) -> None:
    assert_stream(connect(every_server), f"rc:{{{name}}}:meta")


def test_the_random_stream_has_equal_bits_on_fakeredis() -> None:
    """It has no ``bit``, which every server has."""
    assert_stream(fakeredis.FakeRedis(decode_responses=True), "rc:{x}:meta", BIT)


# --- chi-square ----------------------------------------------------------------------------------

SINGLE, BATCHED = 1500, 25_000
ALPHA = 1e-4


def cast(lp: Callable[[int], float], *, fresh: int = 0, size: int = 60) -> list[PoolTask]:
    """``size`` eligible tasks of six labels and ``fresh`` under-sampled ones."""
    eligible = [
        PoolTask(i, f"l{i % 6}", LEARNING if i % 2 else RIPE, lp(i), (i % 7) / 7)
        for i in range(size)
    ]
    return eligible + [PoolTask(1000 + i, f"l{i % 6}", FRESH, lp(i), 0.5) for i in range(fresh)]


def noise(i: int) -> float:
    return random.Random(i).random()


def labels_of(lp: Callable[[int], float]) -> dict[str, tuple[float, float]]:
    return {f"l{i}": (lp(i), i / 6) for i in range(6)}


TASK = {"pooling": "task"}
SHAPES: dict[str, tuple[list[PoolTask], dict[str, Any]]] = {
    "all equal": (cast(lambda _: 0.1, fresh=5), TASK),
    "one outlier": (cast(lambda i: 0.9 if i == 7 else 0.01), {**TASK, "z_score_amplification": 1}),
    "one outlier, steep": (cast(lambda i: 0.9 if i == 7 else 0.01 + 1e-3 * noise(i)), TASK),
    "two clusters": (
        cast(lambda i: 0.1 + 0.3 * (i % 2) + 0.01 * noise(i), fresh=6),
        {**TASK, "z_score_amplification": 2, "exploration_share": 0.1},
    ),
    "heavy tail": (cast(lambda i: 0.02 / (noise(i) + 0.02), fresh=3), TASK),
    "no eligible": (cast(noise, size=0, fresh=30), TASK),
    "no under-sampled": (cast(noise), {**TASK, "z_score_amplification": 1}),
    "bonus rule": (
        cast(noise, fresh=20),
        {**TASK, "exploration": "bonus", "exploration_bonus": 0.05, "rand_task_rate": 0.2},
    ),
    "temperature": (cast(noise, fresh=4), {**TASK, "temperature": 0.2, "progress_smoothing": 0.1}),
    "performance bonus": (
        cast(noise, fresh=4),
        {**TASK, "performance_bonus_weight": 0.7, "z_score_amplification": 2},
    ),
    "pooled by label": (cast(noise, fresh=8), {"pooling": "label", "z_score_amplification": 2}),
    "pooled, bonus rule, steep": (
        cast(noise, fresh=8),
        {"pooling": "label", "exploration": "bonus", "performance_bonus_weight": 0.5},
    ),
    "pooled, one label": (
        [task._replace(label="l0") for task in cast(noise, fresh=2)],
        {"pooling": "label"},
    ),
    "uniform": (cast(noise, fresh=9), {**TASK, "rand_task_rate": 1.0}),
}
ROWS = [(shape, batched) for shape in SHAPES for batched in (False, True)]


def drawn(harness: Harness, calls: int, count: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for _ in range(calls):
        found.update(harness.sample(count).ids)
    return found


def chi_square(found: Counter[int], expected: dict[int, float]) -> float:
    """p-value; tasks expected fewer than five times are taken together."""
    total = found.total()
    assert set(found) <= {task_id for task_id, p in expected.items() if p > 0}
    pairs = [(found[task_id], p * total) for task_id, p in expected.items()]
    large = [pair for pair in pairs if pair[1] >= 5]
    small = [pair for pair in pairs if pair[1] < 5]
    if small and sum(e for _, e in small) >= 5:
        large.append((sum(f for f, _ in small), sum(e for _, e in small)))
    else:  # too few for a cell of their own: none of them may be drawn often
        assert sum(f for f, _ in small) < 25
    if len(large) == 1:
        return 1.0
    observed, wanted = np.array(large, dtype=float).T
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


@pytest.mark.parametrize(("shape", "batched"), ROWS)
def test_draws_follow_the_distribution(
    server: Server, name: str, *, shape: str, batched: bool
) -> None:
    tasks, given = SHAPES[shape]
    hypers = hypers_of(**given)
    harness = harness_of(server, name, hypers)
    pool = plant(harness, tasks, labels_of(noise))
    expected = dict(zip(pool.task_ids.tolist(), distribution(pool, hypers).tolist(), strict=True))
    found = drawn(harness, BATCHED // 500, 500) if batched else drawn(harness, SINGLE, 1)
    assert found.total() == (BATCHED if batched else SINGLE)
    assert chi_square(found, expected) > ALPHA / len(ROWS)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_draws_over_recorded_scores_follow_the_distribution(
    server: Server, name: str, *, bidirectional: bool
) -> None:
    """The same with progress that came about by scores, by either scorer."""
    rng = random.Random(14)
    hypers = hypers_of(use_bidirectional=bidirectional, pooling="task", z_score_amplification=3)
    harness = harness_of(server, name, hypers)
    harness.create([(i, f"l{i % 3}", {}) for i in range(30)])
    for _ in range(5):
        harness.record([(i, min(1.0, rng.random() * i / 20)) for i in range(28)])
    rows = []
    for i, record in enumerate(harness.read(range(30))):
        lp = float(record["learning_progress"]) if "learning_progress" in record else None
        rows.append(PoolTask(i, record["label"], int(record["completion_count"]), lp, None))
    expected = distribution(make_pool(rows, {}), hypers)
    found = drawn(harness, BATCHED // 500, 500)
    assert chi_square(found, dict(enumerate(expected.tolist()))) > ALPHA


def test_chi_square_would_notice(server: Server, name: str) -> None:
    """Draws by one distribution do not pass for those of a slightly different one."""
    hypers = hypers_of(pooling="task", z_score_amplification=1.0)
    harness = harness_of(server, name, hypers)
    pool = plant(harness, cast(noise))
    other = distribution(pool, hypers.model_copy(update={"z_score_amplification": 1.15}))
    expected = dict(zip(pool.task_ids.tolist(), other.tolist(), strict=True))
    assert chi_square(drawn(harness, BATCHED // 500, 500), expected) < ALPHA / len(ROWS)


def test_a_trial_that_fails_reads_no_params(server: Server, name: str) -> None:
    """They may be 64 KiB: they are read once a draw, not once a trial."""
    hypers = hypers_of(z_score_amplification=15.0)
    harness = Harness(connect(server), name, text_config(hypers, num_active_tasks=200))
    tasks = [PoolTask(i, f"l{min(i % 20, 1)}", RIPE, 0.5, 0.5) for i in range(200)]
    plant(harness, tasks, {"l0": (0.9, 0.5), "l1": (0.0, 0.5)})  # only a twentieth is worth it
    read, tried = commands_run(server, "hmget"), commands_run(server, "hget")
    drawn = harness.sample(40)
    read, tried = commands_run(server, "hmget") - read, commands_run(server, "hget") - tried
    assert len(drawn.ids) == 40
    assert read <= 1 + 2 + 40, "the meta hash, the two labels' progress, and the drawn tasks"
    assert tried > 200
