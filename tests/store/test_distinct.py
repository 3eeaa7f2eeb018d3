"""Distinct draws: without replacement, by the same probabilities, however they come about."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from redis_curriculum import AsyncCurriculum, Curriculum, TaskSpec, WorkerSettings
from redis_curriculum._sampling import draw
from redis_curriculum._sampling.draw import choose_distinct, distribution
from redis_curriculum._sampling.pool import Pool
from redis_curriculum._sampling.random_stream import RandomStream
from redis_curriculum.config import (
    CurriculumConfig,
    DebiasedProgressConfig,
    LearningProgressConfig,
    UniformConfig,
)
from redis_curriculum.errors import EmptyPoolError, Exhausted, InvalidInputError
from redis_curriculum.tasks import Buckets
from tests.harness import Harness, Server, connect, plant, text_config
from tests.lossy import lossy
from tests.servers import RunningServer
from tests.statistics import PoolTask, make_pool
from tests.store.test_draws import (
    PARTS,
    RIPE,
    harness_of,
    hypers_of,
    lps,
    random_hypers,
    random_pool,
)
from tests.store.test_label_first import literal, pair, play, random_scorer, spec

pytestmark = pytest.mark.filterwarnings("ignore::redis_curriculum.errors.ConfigWarning")

ALPHA = 1e-5
CALLS = 6_000


# --- the script and its reference ----------------------------------------------------------------


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_distinct_draws_equal_the_reference_bit_for_bit(
    every_server: Server, name: str, parts: list[int]
) -> None:
    rng, short = random.Random(f"distinct {parts}"), 0
    for i in range(15):
        harness = harness_of(every_server, f"{name}.{i}", random_hypers(rng))
        pool = plant(harness, *random_pool(rng, parts))
        for count in {1, min(5, len(pool)), min(40, len(pool)), len(pool)}:
            stream = RandomStream(harness.stream_state)
            expected = draw.draw(pool, harness.hypers, stream, count, distinct=True)
            reply = harness.sample(count, distinct=count)
            assert reply.ids == expected.task_ids
            assert len(set(reply.ids)) == len(reply.ids)
            assert reply.wanted == expected.wanted_replacements
            assert harness.stream_state == stream.state
            short += expected.short
        harness.wipe()
    assert short > 0, "the bound on repeated picks was met"


@pytest.mark.parametrize("labels", [1, 3, 40])
def test_distinct_draws_of_labels_first_equal_the_reference_bit_for_bit(
    server: Server, name: str, labels: int
) -> None:
    rng, short = random.Random(f"distinct {labels}"), 0
    for i in range(4):
        specs = [spec(i, f"l{rng.randrange(labels)}") for i in rng.sample(range(10**6), 50)]
        harness, model = pair(server, f"{name}.{i}", random_scorer(rng), specs)
        for results in (0, 60, 600):
            play(harness, model, rng, results, lambda label: hash_of(label) / 40)
            for count in (1, 5, 40, len(specs)):
                expected = draw.draw(
                    model.pool(), harness.hypers, model.stream, count, distinct=True
                )
                reply = harness.sample(count, distinct=count)
                assert reply.ids == expected.task_ids
                assert len(set(reply.ids)) == len(reply.ids)
                assert harness.stream_state == model.stream.state
                short += expected.short
        harness.wipe()
    assert short > 0 or labels < 40, "the bound on repeated picks was met"


def hash_of(label: str) -> int:
    return int(label.removeprefix("l"))


def test_of_a_pool_that_is_too_small_none_is_drawn(every_server: Server, name: str) -> None:
    harness = harness_of(every_server, name, hypers_of())
    pool = plant(harness, [PoolTask(i, "l", RIPE, 0.5, 0.5) for i in range(5)])
    before = harness.stream_state
    assert harness.sample(2, distinct=6).ids == []
    assert harness.step([], 6, distinct=6).ids == []
    assert harness.stream_state == before
    with pytest.raises(EmptyPoolError, match="has 5 tasks"):
        draw.draw(pool, harness.hypers, RandomStream(before), 6, distinct=True)


def test_chosen_tasks_are_handed_out_but_for_those_that_have_gone(
    every_server: Server, name: str
) -> None:
    harness = harness_of(every_server, name, hypers_of())
    harness.create([(i, "l", {}) for i in range(4)])
    assert harness.sample(3, chosen="2 9 0").ids == [2, 0]
    assert harness.sample(2, chosen="3 1", sequence=harness.sequence).ids == [2, 0], "a repeat"
    counts = [harness.client.hget(harness.keys.task(i), "sample_count") for i in range(4)]
    assert counts == ["1", "0", "1", "0"]


# --- chi-square ----------------------------------------------------------------------------------


def in_order(p: dict[int, float], count: int) -> dict[tuple[int, ...], float]:
    """The probability of each sequence of draws without replacement."""
    found = {}
    for ids in permutations(p, count):
        chance, left = 1.0, 1.0
        for task_id in ids:
            chance, left = chance * p[task_id] / left, left - p[task_id]
        found[ids] = chance
    return found


def p_value(drawn: Iterable[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    """Of a chi-square test; sequences expected fewer than five times are taken together."""
    found = Counter(drawn)
    pairs = [(found[ids], chance * found.total()) for ids, chance in expected.items()]
    assert sum(n for n, _ in pairs) == found.total()
    large = [pair for pair in pairs if pair[1] >= 5]
    small = [pair for pair in pairs if pair[1] < 5]
    if sum(e for _, e in small) >= 5:
        large.append((sum(n for n, _ in small), sum(e for _, e in small)))
    observed, wanted = np.array(large, dtype=float).T
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


UNEVEN = [PoolTask(10 + i, f"l{i}", RIPE, [0.9, 0.3, 0.28, 0.1, 0.02][i], 0.5) for i in range(5)]
STEEPNESS = {"pooling": "task", "z_score_amplification": 2.0}


def uneven(server: Server, name: str) -> tuple[Harness, Pool, dict[int, float]]:
    harness = harness_of(server, name, hypers_of(**STEEPNESS))
    pool = plant(harness, UNEVEN)
    chances = distribution(pool, harness.hypers)
    assert chances.max() > 5 * chances.min()
    return harness, pool, dict(zip(pool.task_ids.tolist(), chances.tolist(), strict=True))


def by_script(harness: Harness, pool: Pool, count: int) -> Callable[[], list[int]]:
    return lambda: harness.sample(count, distinct=count).ids


def by_pass(harness: Harness, pool: Pool, count: int) -> Callable[[], list[int]]:
    rng = np.random.default_rng(0)
    return lambda: choose_distinct(pool, harness.hypers, rng, count, without=[])


def by_both(harness: Harness, pool: Pool, count: int) -> Callable[[], list[int]]:
    rng = np.random.default_rng(1)

    def drawn() -> list[int]:
        first = harness.sample(1, distinct=count).ids
        rest = choose_distinct(pool, harness.hypers, rng, count - 1, without=first)
        return first + rest

    return drawn


@pytest.mark.parametrize("way", [by_script, by_pass, by_both])
@pytest.mark.parametrize("count", [2, 4])
def test_sequences_have_the_probabilities_of_draws_without_replacement(
    server: Server, name: str, way: Callable[..., Callable[[], list[int]]], count: int
) -> None:
    harness, pool, p = uneven(server, name)
    drawn = way(harness, pool, count)
    found = [tuple(drawn()) for _ in range(CALLS)]
    assert p_value(found, in_order(p, count)) > ALPHA


@pytest.mark.parametrize("way", [by_script, by_pass, by_both])
@pytest.mark.parametrize("mass", ["equal", "tasks"])
def test_labels_first_too(
    server: Server, name: str, way: Callable[..., Callable[[], list[int]]], mass: Any
) -> None:
    """By the formula of its documentation: a label by its weight, then any of its tasks."""
    scorer = DebiasedProgressConfig(label_mass=mass, noise_factor=0.0, cap=0.6)
    harness, model = pair(server, name, scorer, [spec(i, "aabbbc"[i]) for i in range(6)])
    chance = {"a": 1.0, "b": 0.2, "c": 0.0}
    for score in (0.0, 1.0):
        play(harness, model, random.Random(mass), 120, lambda at, s=score: s * chance[at])
    p = literal(model, scorer)
    assert max(p.values()) > 1.5 * min(p.values())
    drawn = way(harness, model.pool(), 3)
    found = [tuple(drawn()) for _ in range(CALLS // 3)]
    assert p_value(found, in_order(p, 3)) > ALPHA


def test_chi_square_would_notice_draws_that_are_only_distinct(server: Server, name: str) -> None:
    """As often as not the naive ways: by lot, or all at once, the likeliest first."""
    harness, _, p = uneven(server, name)
    rng = np.random.default_rng(2)
    ids, chances = np.array(list(p)), np.array(list(p.values()))
    by_lot = [tuple(rng.permutation(ids)[:2].tolist()) for _ in range(CALLS)]
    assert p_value(by_lot, in_order(p, 2)) < ALPHA
    both = [rng.choice(ids, size=2, replace=False, p=chances) for _ in range(CALLS)]
    likeliest_first = [tuple(sorted(two.tolist(), key=lambda i: -p[i])) for two in both]
    assert p_value(likeliest_first, in_order(p, 2)) < ALPHA
    assert harness.hypers.DRAW == "sigmoid"


def test_tasks_of_probability_zero_come_last_in_random_order() -> None:
    hypers = hypers_of(pooling="task", z_score_amplification=100.0, exploration_share=0.0)
    tasks = [PoolTask(i, "l", RIPE, 0.0 if i < 3 else 0.9, 0.5) for i in range(300)]
    pool = make_pool(tasks, {})
    chances = distribution(pool, hypers)
    assert (chances[:3] == 0).all(), "less than a double can hold"
    rng = np.random.default_rng(3)
    found = [choose_distinct(pool, hypers, rng, 300, without=[7]) for _ in range(60)]
    assert all(len(ids) == 299 and {*ids[-3:]} == {0, 1, 2} for ids in found)
    assert len({tuple(ids[-3:]) for ids in found}) == 6


# --- the handle ----------------------------------------------------------------------------------

MANY = Buckets(label="{kind}", buckets={"kind": list("abcde"), "seed": list(range(1000))})


def config_of(algorithm: Any = None, **fields: Any) -> CurriculumConfig:
    hypers = algorithm or LearningProgressConfig(replacement_rate=0, min_samples_for_lp=2)
    defaults: dict[str, Any] = {"task_generator": MANY, "num_active_tasks": 100, "seed": 3}
    return CurriculumConfig(**defaults | fields, algorithm=hypers)


def differ(tasks: Iterable[Any], count: int) -> None:
    ids = [task.task_id for task in tasks]
    assert len(set(ids)) == len(ids) == count


FAMILIES = {
    "label": LearningProgressConfig(replacement_rate=0, min_samples_for_lp=2),
    "task": LearningProgressConfig(
        replacement_rate=0.05, min_samples_for_lp=2, pooling="task", exploration_share=0.2
    ),
    "uniform": UniformConfig(),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [7, 1000])
def test_any_number_up_to_the_whole_pool(url: str, name: str, family: str, chunk: int) -> None:
    settings, rng = WorkerSettings(chunk=chunk), random.Random(4)
    with Curriculum.open(url, name, config_of(FAMILIES[family]), worker=settings) as curriculum:
        done = 0
        for count in (1, 64, 100, 100, 99, 2):
            tasks = curriculum.get_tasks(count, distinct=True)
            differ(tasks, count)
            lp = lps(rng)
            results = [(task.task_id, min(1.0, lp())) for task in tasks]
            step = curriculum.next_tasks(results, count, distinct=True)
            differ(step.tasks, count)
            done += 2 * count
        assert curriculum.stats()["num_scheduled"] == done
        assert curriculum.check() == []


def test_a_few_that_take_all_the_draws_leave_the_rest_to_a_pass(
    server: RunningServer, url: str, name: str
) -> None:
    """Three of 60 tasks have all but 1e-12 of the probability: the other 37 are drawn fairly."""
    hypers = hypers_of(pooling="task", z_score_amplification=8.0, exploration_share=0.0)
    harness = Harness(connect(server), name, text_config(hypers, num_active_tasks=60))
    plant(harness, [PoolTask(i, "l", RIPE, 0.9 if i < 3 else 0.001, 0.5) for i in range(60)])
    found = Counter[int]()
    with Curriculum.open(url, name) as curriculum:
        for _ in range(300):
            tasks = curriculum.get_tasks(40, distinct=True)
            differ(tasks, 40)
            assert {0, 1, 2} < {task.task_id for task in tasks}
            found.update(task.task_id for task in tasks)
    others = [found[i] for i in range(3, 60)]
    assert stats.chisquare(others).pvalue > ALPHA
    order = [in_which_order(server, url, name, hypers) for _ in range(2)]
    assert order[0] == order[1], "the curriculum's own stream decides"


def in_which_order(server: RunningServer, url: str, name: str, hypers: Any) -> list[int]:
    harness = Harness(connect(server), f"{name}-2", text_config(hypers, num_active_tasks=60))
    plant(harness, [PoolTask(i, "l", RIPE, 0.9 if i < 3 else 0.001, 0.5) for i in range(60)])
    with Curriculum.open(url, f"{name}-2") as curriculum:
        ids = [task.task_id for task in curriculum.get_tasks(40, distinct=True)]
    harness.wipe()
    return ids


def test_more_than_the_pool_may_hold_is_refused_before_anything_is_sent(
    url: str, name: str
) -> None:
    with Curriculum.open(url, name, config_of()) as curriculum:
        tasks = curriculum.get_tasks(3, distinct=True)
        for call in (
            lambda: curriculum.get_tasks(101, distinct=True),
            lambda: curriculum.next_tasks([(tasks[0].task_id, 1.0)], 101, distinct=True),
        ):
            with pytest.raises(InvalidInputError, match="at most 100, what the pool"):
                call()
        figures = curriculum.stats()
        assert (figures["num_scheduled"], figures["num_completed"]) == (3, 0)
        with pytest.raises(InvalidInputError, match="distinct must be True or False"):
            curriculum.get_tasks(3, distinct="no")  # type: ignore[arg-type]


def test_more_than_there_are_is_an_error_and_draws_none(url: str, name: str) -> None:
    class Here:  # other handles cannot import it
        def generate(self, task_id: int) -> TaskSpec:
            return TaskSpec("l", {"of": task_id})

    config = config_of(task_generator=Here(), num_active_tasks=20)
    with (
        Curriculum.open(url, name, config) as curriculum,
        Curriculum.open(url, name) as other,
    ):
        for task_id in curriculum.task_ids()[:5]:
            other.evict(task_id)
        with pytest.raises(
            EmptyPoolError, match="16 distinct tasks were asked for, the pool has 15"
        ):
            other.get_tasks(16, distinct=True)
        assert curriculum.stats()["num_scheduled"] == 0
        differ(other.get_tasks(15, distinct=True), 15)
        differ(curriculum.get_tasks(20, distinct=True), 20)  # this one can fill the pool first
        assert curriculum.stats()["num_created"] == 25


@pytest.mark.filterwarnings("ignore::redis_curriculum.errors.GeneratorWarning")
def test_more_than_a_generator_has_is_an_error(url: str, name: str) -> None:
    config = config_of(task_generator=FiveTasks(), num_active_tasks=20)
    with Curriculum.open(url, name, config) as curriculum:
        there = len(curriculum.task_ids())
        assert 0 < there <= 5
        message = f"{there + 1} distinct tasks were asked for, the pool has {there}"
        with pytest.raises(EmptyPoolError, match=message):
            curriculum.get_tasks(there + 1, distinct=True)
        differ(curriculum.get_tasks(there, distinct=True), there)
        assert curriculum.stats()["num_scheduled"] == there


class FiveTasks:
    """A generator that has no sixth task."""

    def __init__(self) -> None:
        self.left = 5

    def generate(self, task_id: int) -> TaskSpec:
        if not self.left:
            raise Exhausted
        self.left -= 1
        return TaskSpec("l", {"of": task_id})


def test_tasks_that_leave_meanwhile_are_not_drawn(url: str, name: str) -> None:
    """Between the first round trip and the last: the call ends with the tasks that are there."""
    with Curriculum.open(url, name, config_of()) as curriculum:
        handle, link = lossy(url, name, chunk=10)
        ids = curriculum.task_ids()
        link.begin, link.meddle = "sample", lambda: curriculum.evict(ids.pop())
        with handle:
            tasks = handle.get_tasks(60, distinct=True)
        differ(tasks, 60)
        assert len(ids) < 95


def test_the_asyncio_handle_draws_them_too(url: str, name: str) -> None:
    async def drawn() -> None:
        settings = WorkerSettings(chunk=16)
        async with await AsyncCurriculum.open(url, name, config_of(), worker=settings) as handle:
            tasks = await handle.get_tasks(64, distinct=True)
            differ(tasks, 64)
            step = await handle.next_tasks([(tasks[0].task_id, 1.0)], 100, distinct=True)
            differ(step.tasks, 100)
            with pytest.raises(InvalidInputError, match="at most 100"):
                await handle.get_tasks(101, distinct=True)

    asyncio.run(drawn())
